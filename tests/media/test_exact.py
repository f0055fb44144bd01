import av
import numpy as np
import pytest
import torch
from PIL import Image

from organza.core.errors import UserError
from organza.media.exact import save_npy, save_png16
from organza.studio.codes import codes
from organza.studio.generate import generate


@pytest.mark.parametrize(("channels", "layout"), [(1, "gray16be"), (3, "rgb48be"), (4, "rgba64be")])
def test_another_decoder_reads_all_16_bits(tmp_path, channels, layout):
    image = torch.rand(1, channels, 6, 10, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    path = save_png16(image, tmp_path / "a.png")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == layout
    found = frame.to_ndarray().reshape(6, 10, channels)
    wanted = (image[0].permute(1, 2, 0).double().add(1).mul(32767.5)).round().clamp(0, 65535).numpy()
    np.testing.assert_array_equal(found, wanted)
    with Image.open(path) as plain:
        assert plain.size == (10, 6)


def test_generate_16_bits(G, tmp_path):
    (path,) = generate(G, [3], outdir=tmp_path, deep=True, scale=2)
    with Image.open(path) as image:
        assert image.size == (48, 32)
        high = np.asarray(image)[::2, ::2].astype(int)
    assert np.abs(high - G.generate([3])[0]).max() <= 1


def test_float_is_what_the_network_gives(G, tmp_path):
    (path,) = generate(G, [3], output=tmp_path / "a.npy")
    assert torch.equal(torch.from_numpy(np.load(path)), G.synthesis(codes(G, [3]))[0].permute(1, 2, 0))


def test_wrong_names(tmp_path):
    with pytest.raises(UserError, match=r"a\.jpg: no format is known for '\.jpg'; end the name in \.png"):
        save_png16(torch.zeros(1, 3, 4, 4), "a.jpg")
    with pytest.raises(UserError, match=r"end the name in \.npy"):
        save_npy(torch.zeros(1, 3, 4, 4), "a.jpg")


@pytest.mark.parametrize("arguments", [{"deep": True, "grid": (2, 1)}, {"output": "many.npy"}])
def test_one_picture_a_file(G, tmp_path, arguments):
    with pytest.raises(UserError, match="16-bit and float files hold one image each; leave --grid and --output out"):
        generate(G, [1, 2], outdir=tmp_path, **arguments)
