import itertools
from dataclasses import replace

import pytest

from organza.core.errors import UserError
from organza.metrics.names import EXAMPLES, Metric, parse_metric, parse_metrics


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fid50k_full", Metric("fd", 50_000, full=True, implied="inception")),
        ("fid1000", Metric("fd", 1000, implied="inception")),
        ("fd5k", Metric("fd", 5000)),
        ("fd_voile64_2k_full", Metric("fd", 2000, full=True, network="voile64")),
        ("fd_my_net-1a2b3c4d_1500", Metric("fd", 1500, network="my_net-1a2b3c4d")),
        ("kid50k_full", Metric("kd", 50_000, full=True, implied="inception")),
        ("pr50k3_full", Metric("pr", 50_000, full=True, near=3)),
        ("pr_lenet_5k", Metric("pr", 5000, near=3, network="lenet")),
        ("pr500n4", Metric("pr", 500, near=4)),
        ("pr500_4", Metric("pr", 500, near=4)),
        ("pr50k_3", Metric("pr", 50_000, near=3)),
        ("pr50kn3_full", Metric("pr", 50_000, full=True, near=3)),
        ("pr500k3", Metric("pr", 500_000, near=3)),
        ("dc_my_net-1a2b3c4d_500_7", Metric("dc", 500, near=7, network="my_net-1a2b3c4d")),
        ("pr50k3_full_recall", Metric("pr", 50_000, full=True, near=3)),
        ("is50k_std", Metric("is", 50_000, implied="inception")),
        ("swd16k_32", Metric("swd", 16_384)),
        ("dc10k5", Metric("dc", 10_000, near=5)),
        ("is50k", Metric("is", 50_000, implied="inception")),
        ("ppl2_wend", Metric("ppl", 50_000, space="w", sampling="end")),
        ("ppl_zfull", Metric("ppl", 50_000, space="z", sampling="full", crop=True)),
        ("ppl2_alex_10k_zend", Metric("ppl", 10_000, network="alex", space="z", sampling="end")),
        ("sep10k_z", Metric("sep", 10_000, space="z")),
        ("lpips2k", Metric("lpips", 2000)),
        ("perceptual_voile64_2k", Metric("lpips", 2000, network="voile64")),
        ("ms_ssim10k", Metric("ms_ssim", 10_000)),
        ("swd16k", Metric("swd", 16_384)),
        ("swd500", Metric("swd", 500)),
    ],
)
def test_names(name, expected):
    assert parse_metric(name) == expected


@pytest.mark.parametrize("name", [n for n in EXAMPLES if not n.startswith(("ppl", "lpips"))])
def test_a_title_is_the_name_again(name):
    metric = parse_metric(name)
    prefix = (
        {"fd": "fid", "kd": "kid"}.get(metric.kind, metric.compared or metric.kind)
        if metric.network is None
        else "fd_voile64"
    )
    assert metric.title(prefix) == name


NETWORKS = ("voile64", "lenet", "lenet-1a2b3c4d", "inception-1a2b3c4d", "net_5k.v2-1a2b3c4d", "2k_3-1a2b3c4d")


@pytest.mark.parametrize("network", [None, *NETWORKS])
@pytest.mark.parametrize("count", [11, 500, 1000, 1500, 1024, 16384, 50_000, 500_000])
def test_every_name_that_is_printed_is_taken(network, count):
    made = [Metric(k, count, full, n, network) for k, n in (("pr", 3), ("dc", 7)) for full in (False, True)]
    made += [Metric("fd", count, full, network=network) for full in (False, True)]
    made += [Metric("kd", count, network=network), Metric("is", count, network=network, implied="inception")]
    made += [Metric("sep", count, network=network, space=space) for space in ("w", "z")]
    if network in (None, "voile64"):
        made += [Metric("lpips", count, network=network), Metric("ms_ssim", count), Metric("swd", count)]
        for space, sampling, crop in itertools.product("wz", ("full", "end"), (False, True)):
            made.append(Metric("ppl", count, network=network, space=space, sampling=sampling, crop=crop))
    for metric in made:
        short = {"ppl": "ppl" if metric.crop else "ppl2", "lpips": "perceptual" if network else "lpips"}
        short = short.get(metric.kind, {"fd": "fid", "kd": "kid"}.get(metric.kind, "") if not network else "")
        prefix = (short or metric.kind) + (f"_{metric.network}" if metric.network else "")
        title = metric.title(prefix)
        for name in (title, *(f"{title}{ending}" for ending in metric.figures)):
            found = parse_metric(name)
            assert replace(found, implied=metric.implied) == metric, name
            assert found.title(prefix) == title


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "fid",
            "fidk",
            "fid50k_ful",
            "fid_voile64_5k",
            "fid50k3",
            "swd16k_full",
            "ppl",
            "ppl_wmiddle",
        ),
        *("is50k_full", "sep10k_full", "fd5k_z", "mode_ssim5k", "fid1", "pr3", "is5", "fid99999999999"),
    ],
)
def test_other_names(name):
    with pytest.raises(UserError, match=r"no metric is called|a count of \d+") as error:
        parse_metric(name)
    assert "--list" in str(error.value) or "give at least" in str(error.value)


def test_a_list():
    assert [m.count for m in parse_metrics(" fid5k,fid5000 , fid10k,")] == [5000, 10_000]
    with pytest.raises(UserError, match="no metric is named"):
        parse_metrics(" , ")
    with pytest.raises(UserError, match="did you mean something like fid50k_full"):
        parse_metrics("fd50k_ful")
