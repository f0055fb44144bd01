import importlib.util

import pytest

from organza.core import doctor


def test_everything_is_looked_at():
    findings = {finding.name: finding for finding in doctor.examine(speed=False)}
    assert {"Python", "PyTorch", "processor", "threads", "memory", "GPU", "extra video", "cache", "disk"} <= set(
        findings
    )
    assert findings["extra video"].ok


def test_speed_is_measured():
    rates = doctor.convolution_speed(seconds=0.02)
    assert rates["float32"] > 0.1


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_good_python(version):
    assert doctor.check_python(version).ok


def test_good_torch():
    assert doctor.check_torch("2.13.0+cpu").ok
    assert not doctor.check_torch("1.13.1").ok


@pytest.mark.parametrize(
    ("threads", "cores", "advice"),
    [
        (2, 2, ""),
        (1, 4, "only 1 of 4 cores is used: unset OMP_NUM_THREADS, or set it to 2 or more"),
        (2, 16, "only 2 of 16 cores are used: unset OMP_NUM_THREADS, or set it to 8 or more"),
        (8, 2, "more threads than cores slow each other down: set OMP_NUM_THREADS to 2"),
    ],
)
def test_threads(threads, cores, advice):
    assert doctor.check_threads(threads, cores).advice == advice


def test_missing_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    finding = doctor.check_extra("video")
    assert finding.advice == "for videos as .mp4: pip install 'organza[video]'"


def test_gpu_without_its_build_of_torch():
    assert "install the CUDA build" in doctor.check_gpu(usable=False, driver=True).advice


def test_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path / "file" / "cache"))
    finding = doctor.check_cache()
    assert finding.advice == "set ORGANZA_CACHE to a folder that can be written"
    assert "Not a directory" in finding.value
