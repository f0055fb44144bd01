import numpy as np
import pytest
import torch

from organza.core.errors import UserError
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw, load_codes, save_codes
from organza.studio.generate import all_codes, from_codes, from_seeds, generate


def test_codes_are_those_of_the_pictures(G):
    np.testing.assert_array_equal(draw(G, codes(G, [3, 4], Sampling(psi=0.7))), G.generate([3, 4], psi=0.7))


def test_fresh_noise_is_that_of_the_seed(G_noisy):
    ws = codes(G_noisy, [3, 4])
    np.testing.assert_array_equal(draw(G_noisy, ws, "random", [3, 4]), G_noisy.generate([3, 4], noise="random"))


def test_saved_codes_come_back(G, tmp_path):
    ws = codes(G, [1, 2])
    path = save_codes(tmp_path / "new" / "w.npz", ws)
    assert torch.equal(load_codes(path, G), ws)
    assert path.read_bytes() == save_codes(tmp_path / "again.npz", ws).read_bytes()


@pytest.mark.parametrize("name", ["w.npy", "w.npz"])
@pytest.mark.parametrize("shape", [(8,), (2, 8)])
def test_one_w_for_all_layers(G, tmp_path, name, shape):
    array = np.random.RandomState(0).randn(*shape)
    if name == "w.npy":
        np.save(tmp_path / name, array)
    else:
        np.savez(tmp_path / name, ws=array)
    loaded = load_codes(tmp_path / name, G)
    assert loaded.shape == (2 if len(shape) == 2 else 1, G.num_ws, 8)
    np.testing.assert_allclose(loaded[:, 3].numpy(), array.reshape(-1, 8), rtol=1e-6)


def test_z_is_w_where_there_is_no_mapping(G_plain):
    assert torch.equal(codes(G_plain, [1, 2])[:, 0], G_plain.z([1, 2]))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros([2, 5, 8]), "its w is [2, 5, 8]; this network wants [N, 6, 8]"),
        (np.zeros([2, 6, 8], int), "its w is [2, 6, 8]; this network wants [N, 6, 8]"),
        (np.full([1, 6, 8], np.nan), "its w is not finite; make it again"),
        (np.array([{}], object), "a broken NumPy file (it holds Python objects, which are not read)"),
    ],
)
def test_wrong_files(G, tmp_path, array, message):
    np.save(tmp_path / "w.npy", array, allow_pickle=True)
    with pytest.raises(UserError) as caught:
        load_codes(tmp_path / "w.npy", G)
    assert str(caught.value) == f"{tmp_path / 'w.npy'}: {message}"


def test_no_file_and_no_arrays(G, tmp_path):
    with pytest.raises(UserError, match=r"w\.npz: does not exist; organza generate --save-w writes such a file"):
        load_codes(tmp_path / "w.npz", G)
    for raw, message in {
        b"PK nothing": "this is no NumPy file, not an array",
        b"PK\3\4 nothing": "a broken NumPy file",
        b"version https://git-lfs.github.com/spec/v1\n": "this is a Git LFS pointer, not the file itself",
    }.items():
        (tmp_path / "w.npz").write_bytes(raw)
        with pytest.raises(UserError, match=message):
            load_codes(tmp_path / "w.npz", G)
    np.savez(tmp_path / "w.npz", other=np.zeros(3), more=np.zeros(3))
    with pytest.raises(UserError, match="holds no array called w"):
        load_codes(tmp_path / "w.npz", G)
    with pytest.raises(
        UserError, match=r"w\.txt: no format is known for '\.txt'; end the name in \.npz, \.npy, \.pt or \.pth"
    ):
        load_codes("w.txt", G)


def saved(path, array, form):
    tensor = torch.from_numpy(array)
    if form == ".npy":
        np.save(path, array)
    elif form == ".npz":
        np.savez(path, w=array, noise0=np.zeros(3))
    elif form == "any.npz":
        np.savez(path, array)
    else:
        inside = {"pt": tensor, "dict": {"latent": tensor, "noise": [tensor]}, "list": [tensor]}
        inside["rosinality"] = {"a.png": {"img": torch.zeros(3), "latent": tensor}}
        torch.save(inside[form], path)
    return path


@pytest.mark.parametrize("form", [".npy", ".npz", "any.npz", "pt", "dict", "list", "rosinality"])
@pytest.mark.parametrize("lead", [(), (1,), (3,), (3, 1), (1, 1), (1, 3)])
def test_codes_of_others_are_read_as_they_are_meant(G, tmp_path, form, lead):
    array = np.random.RandomState(0).randn(*lead, G.num_ws, G.w_dim).astype(np.float32)
    suffix = form[-4:] if form.endswith((".npy", ".npz")) else ".pt"
    loaded = load_codes(saved(tmp_path / f"x{suffix}", array, form), G)
    np.testing.assert_array_equal(loaded.numpy(), array.reshape(-1, G.num_ws, G.w_dim))


@pytest.mark.parametrize("shape", [(8,), (1, 8), (2, 8), (2, 1, 8), (6, 1, 8)])
def test_one_w_in_a_tensor(G, tmp_path, shape):
    array = np.random.RandomState(0).randn(*shape).astype(np.float32)
    loaded = load_codes(saved(tmp_path / "w.pt", array, "pt"), G)
    np.testing.assert_array_equal(loaded.numpy(), array.reshape(-1, 1, 8).repeat(6, 1))


def test_torch_files_without_codes(G, tmp_path):
    torch.save({"G": torch.zeros(6, 8), "D": torch.zeros(6, 8)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"w\.pt: holds no array called w"):
        load_codes(tmp_path / "w.pt", G)
    torch.save(torch.zeros(2, 7, 8), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"its w is \[2, 7, 8\]; this network wants \[N, 6, 8\]"):
        load_codes(tmp_path / "w.pt", G)


def test_generate_from_codes(G, tmp_path):
    job = from_codes(G, codes(G, [5, 6]), Sampling(psi=0.5))
    paths = generate(G, job, outdir=tmp_path, suffix=".npy")
    assert [path.name for path in paths] == ["w0000.npy", "w0001.npy"]
    with torch.no_grad():
        wanted = G.synthesis(codes(G, [5, 6], Sampling(psi=0.5)))[0].permute(1, 2, 0).numpy()
    found = np.load(paths[0])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert torch.equal(all_codes(G, job), codes(G, [5, 6], Sampling(psi=0.5)))


def test_all_codes_of_many_seeds(G_classes):
    turns = Sampling([n % 5 for n in range(20)])
    job = from_seeds(G_classes, range(20), turns)
    torch.testing.assert_close(all_codes(G_classes, job), codes(G_classes, range(20), turns))


def test_too_few_classes(G_classes):
    with pytest.raises(UserError, match="2 classes for 3 seeds; give one class for all or one for each seed"):
        codes(G_classes, [1, 2, 3], Sampling([0, 1]))
    with pytest.raises(UserError, match="2 classes for 3 seeds"):
        from_seeds(G_classes, [1, 2, 3], Sampling([0, 1]))
    with pytest.raises(UserError, match="no seeds; give at least one"):
        codes(G_classes, [], Sampling(1))
