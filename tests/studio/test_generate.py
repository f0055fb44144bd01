import os

import numpy as np
import pytest
from PIL import Image

from organza.core.errors import UserError
from organza.models.sampling import Sampling
from organza.studio.codes import batch_size
from organza.studio.generate import generate, pictures


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_one_file_a_seed(G, tmp_path):
    seen = []
    paths = generate(G, [3, 12345], outdir=tmp_path / "new", progress=lambda *done: seen.append(done))
    assert [path.name for path in paths] == ["seed0003.png", "seed12345.png"]
    assert seen == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(np.stack([read(path) for path in paths]), G.generate([3, 12345]))


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_other_formats(G, tmp_path, suffix):
    (path,) = generate(G, [0], outdir=tmp_path, suffix=suffix)
    assert path.name == f"seed0000{suffix}"
    assert np.abs(read(path).astype(int) - G.generate([0])[0]).mean() < 12


def test_grid(G, tmp_path):
    (path,) = generate(G, range(6), grid=(3, 2), outdir=tmp_path, sampling=Sampling(psi=0.5))
    assert path == tmp_path / "grid.png"
    picture = read(path)
    assert picture.shape == (32, 72, 3)
    np.testing.assert_array_equal(picture[16:, 24:48], G.generate([4], psi=0.5)[0])


def test_cells_without_a_seed_are_white(G, tmp_path):
    (path,) = generate(G, [0], grid=(2, 2), output=tmp_path / "a.png")
    picture = read(path)
    assert picture.shape == (32, 48, 3)
    assert (picture[16:] == 255).all()


def test_cells_without_a_seed_are_clear_where_the_network_knows_transparency(G_classes, tmp_path):
    (path,) = generate(G_classes, [0], sampling=Sampling(1), grid=(1, 2), output=tmp_path / "a.png")
    assert (read(path)[16:, :, 3] == 0).all()


def test_output_without_grid(G, tmp_path):
    assert read(generate(G, [1], output=tmp_path / "one.png")[0]).shape == (16, 24, 3)
    assert read(generate(G, range(5), output=tmp_path / "many.png")[0]).shape == (32, 72, 3)


def test_scale(G, tmp_path):
    (path,) = generate(G, [1], outdir=tmp_path, scale=3)
    np.testing.assert_array_equal(read(path)[1::3, 1::3], G.generate([1])[0])
    (path,) = generate(G, [1, 2], grid=(2, 1), outdir=tmp_path, scale=2)
    assert read(path).shape == (32, 96, 3)


def test_batches_do_not_show(G):
    assert batch_size(G.resolution) == 16
    together = np.stack(list(pictures(G, range(20), Sampling(noise="random"))))
    alone = np.stack([next(pictures(G, [seed], Sampling(noise="random"))) for seed in range(20)])
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_a_class_for_all_or_one_for_each(G_classes):
    each = list(pictures(G_classes, [5, 5, 5], Sampling([0, 1, 2])))
    for label, image in enumerate(each):
        assert np.abs(next(pictures(G_classes, [5], Sampling(label))).astype(int) - image).max() <= 1
    assert np.abs(each[0].astype(int) - each[1]).max() > 1


def test_truncation_and_cutoff_reach_the_network(G):
    full, none, first = (next(pictures(G, [1], Sampling(psi=p, cutoff=c))) for p, c in ((1, None), (0, 0), (0, 2)))
    np.testing.assert_array_equal(full, none)
    assert (first != full).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "no seeds; give at least one, such as 0-15"),
        ({"seeds": [2**32]}, "seed 4294967296 is not between 0 and 4294967295"),
        ({"grid": (1, 2)}, "3 seeds don't fit a grid of 1x2; give at most 2 seeds or a larger grid"),
        ({"sampling": {"labels": 3}}, "this network has no classes; leave the class out"),
        ({"sampling": {"psi": float("nan")}}, "a truncation of nan; give a number such as 0.7"),
        ({"sampling": {"cutoff": 99}}, "a cutoff of 99; this network has 6 layers to truncate"),
        ({"sampling": {"cutoff": -1}}, "a cutoff of -1; give the number of layers to truncate"),
        ({"sampling": {"noise": "loud"}}, "there is no noise 'loud'; choose const, random or none"),
        ({"suffix": ".gif"}, "no format is known for '.gif'; end the name in .png, .jpg, .jpeg, .webp or .npy"),
        ({"output": "picture"}, "picture: the name has no suffix; end the name in .png"),
    ],
)
def test_wrong_requests(G, tmp_path, arguments, message):
    given = {"seeds": [0, 1, 2], "outdir": tmp_path, **arguments}
    with pytest.raises(UserError) as caught:
        generate(G, **given | {"sampling": Sampling(**arguments.get("sampling", {}))})
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "this network needs a label of 5 numbers; give a class from 0 to 4"),
        (5, "class 5 is not from 0 to 4"),
        ([0.5, 0.5], r"labels \[1, 2\] don't fit; give \[1, 5\] finite numbers"),
    ],
)
def test_wrong_classes(G_classes, tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        generate(G_classes, [0], outdir=tmp_path, sampling=Sampling(labels))


def test_only_one_of_many(G, tmp_path):
    paths = generate(G, range(20), outdir=tmp_path / "all", suffix=".npy")
    (one,) = generate(G, range(20), outdir=tmp_path, suffix=".npy", only=18)
    assert one == tmp_path / "seed0018.npy"
    assert one.read_bytes() == paths[18].read_bytes()
    with pytest.raises(UserError, match="there is no image 20; they go from 0 to 19"):
        generate(G, range(20), outdir=tmp_path, only=20)


def test_a_label_vector_is_for_all_seeds_whatever_its_length(G_classes):
    vector = np.array([0, 0, 0, 1, 0], np.float32)
    images = np.stack(list(pictures(G_classes, range(5), Sampling(vector))))
    assert np.abs(images.astype(int) - np.stack(list(pictures(G_classes, range(5), Sampling(3))))).max() <= 1
    table = np.eye(5, dtype=np.float32)
    images = np.stack(list(pictures(G_classes, range(5), Sampling(table))))
    assert np.abs(images.astype(int) - np.stack(list(pictures(G_classes, range(5), Sampling(range(5)))))).max() <= 1
