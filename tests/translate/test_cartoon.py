"""`organza cartoon` on real photographs: whichever way they are turned, with several faces, none, or a video."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza import train
from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.media.clip import Reading, open_clip
from organza.media.exact import save_png16
from organza.translate.faces.film import cartoon_video
from organza.translate.faces.finding import Finder
from organza.translate.faces.frame import portrait_quad, side_of
from organza.translate.faces.person import segmenting
from organza.translate.faces.pipeline import Cartoonist
from organza.vision.helpers import HELPERS, examine_helpers, find_helper
from organza.vision.mtcnn import Detector
from organza.vision.segment import PersonSegmenter
from tests.media.test_clip import times
from tests.peak import kilobytes, start
from tests.shapes import toy

SHARED = Path(__file__).parents[3] / "shared"
WEIGHTS = SHARED / "weights"
SELFIES, PORTRAITS = SHARED / "data" / "selfie2anime.zip", SHARED / "data" / "portraits_pd.zip"
pytestmark = pytest.mark.skipif(
    not (WEIGHTS / "faces" / "selfie.onnx").is_file() or not SELFIES.is_file() or not PORTRAITS.is_file(),
    reason="needs weights of helper networks and photographs beside the checkout",
)


@cache
def photos(archive: Path, part: str, first: int, stop: int, step: int = 1) -> list[Image.Image]:
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if part in name and name.endswith(".jpg"))
        return [Image.open(io.BytesIO(file.read(name))).convert("RGB") for name in names[first:stop:step]]


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder(Detector.read(WEIGHTS / "mtcnn"))


@pytest.fixture(scope="module")
def C(finder) -> Cartoonist:
    segmenter = PersonSegmenter.read(WEIGHTS / "faces" / "selfie.onnx")
    return Cartoonist(finder, segmenting(segmenter), lambda x: x // 64 * 64, follow=finder.follow)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for side in ("A", "B"):
        (folder / side).mkdir()
        for n in range(2):
            noise = np.random.RandomState(n).randint(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(noise).save(folder / side / f"{n}.png")
    options = {"batch": 2, "grid": "2x1", "kimg": 0.002, "resolution": "32", "outdir": folder}
    return train(toy("cyclegan"), folder, **options).folder


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def page(*places: tuple[Image.Image, int, int, int], size: tuple[int, int] = (480, 300)) -> Image.Image:
    """Photographs at (left, top) and so wide, on grey."""
    whole = Image.new("RGB", size, (120, 130, 140))
    for image, left, top, width in places:
        resized = image.resize((width, round(width * image.height / image.width)), Image.Resampling.LANCZOS)
        whole.paste(resized, (left, top))
    return whole


def test_turned_and_mirrored_copies_have_the_same_crop(finder):
    """Within 2 pixels of a crop of 256, nearly all; a few faces have no single place where the looks rest."""
    off = []
    for image in photos(PORTRAITS, "images", 0, 60, 20):
        whole = np.asarray(page((image, 96, 60, 128), size=(320, 320)))
        quad = portrait_quad(finder(whole)[0].points)
        middle = (np.array([320, 320]) - 1) / 2

        def distance(found, back, quad=quad):
            return np.abs(back(portrait_quad(found[0].points)) - quad).max() / side_of(quad) * 256

        flipped = finder(np.ascontiguousarray(whole[:, ::-1]))
        off.append(distance(flipped, lambda q: (q * [-1, 1] + [319, 0])[[3, 2, 1, 0]]))
        for degrees in (15, 30, 90):
            turned = np.asarray(Image.fromarray(whole).rotate(degrees, Image.Resampling.BICUBIC))
            a = np.radians(degrees)
            R = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
            off.append(distance(finder(turned), lambda q, R=R, m=middle: (q - m) @ R.T + m))
    assert np.median(off) < 0.7 and np.mean(np.array(off) < 2) > 0.9


def test_groups_small_faces_and_none(C):
    faces = photos(PORTRAITS, "images", 10, 70, 10)
    places = [(image, 20 + 150 * (n % 3), 10 + 145 * (n // 3), 100 + 4 * n) for n, image in enumerate(faces)]
    for count in (1, 2, 4, 6):
        assert len(C.faces(np.asarray(page(*places[:count])))) == count
    small = page((faces[3], 200, 100, 36))
    (found,) = C.faces(np.asarray(small))
    assert 15 < found.box[2] - found.box[0] < 24
    assert C.portraits(np.asarray(page())) == []
    half = faces[0].resize((384, 468)).crop((0, 0, 200, 468))
    assert len(C.portraits(np.asarray(half))) <= 1  # found or not, nothing breaks


def test_a_large_photograph_takes_no_more_memory_than_a_few_copies(finder):
    start()
    before = kilobytes()
    whole = np.full([1600, 2400, 3], 120, np.uint8)
    face = photos(PORTRAITS, "images", 10, 70, 10)[1].resize((768, 936))
    whole[300 : 300 + 936, 900 : 900 + 768] = np.asarray(face)
    (found,) = finder(whole)
    assert kilobytes() - before < 120_000
    small = np.asarray(Image.fromarray(whole).resize((600, 400), Image.Resampling.BOX))
    (same,) = finder(small)
    assert np.abs(portrait_quad(found.points) - (portrait_quad(same.points) + 0.5) * 4 + 0.5).max() < 40


def test_the_person_is_cut_out(C):
    for image in photos(PORTRAITS, "images", 0, 30, 10):
        (portrait,) = C.portraits(np.asarray(page((image, 96, 60, 128), size=(320, 320))))
        assert portrait.segmented and (portrait.cartoon[:6] == 255).all()
        rows = portrait.mask.mean(1)
        assert rows[:8].max() < 0.01 and portrait.mask[110:140, 110:146].min() > 0.9


def run_cli(capsys, *words: object) -> tuple[int, str, str]:
    code = main(list(map(str, words)))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command(run, tmp_path, capsys):
    faces = photos(PORTRAITS, "images", 10, 70, 10)
    group = page((faces[0], 20, 20, 110), (faces[1], 220, 20, 130), (faces[2], 380, 60, 90))
    group.save(tmp_path / "party.png")
    common = ["--network", run, "--weights-dir", WEIGHTS]
    out = tmp_path / "one"
    code, said, err = run_cli(capsys, "cartoon", tmp_path / "party.png", *common, "--output", out)
    assert (code, err) == (0, "") and "1 faces in 1 photographs" in said
    assert sorted(path.name for path in out.iterdir()) == ["p2c_cartoon.png", "p2c_photo.png"]
    assert opened(out / "p2c_photo.png").size == opened(out / "p2c_cartoon.png").size == (32, 32)
    out = tmp_path / "all"
    more = ["--faces", "all", "--paste", "--card", "--debug-steps", "--match-colours", "--border", "mirror"]
    code, said, _ = run_cli(capsys, "cartoon", tmp_path / "party.png", *common, "--output", out, *more)
    assert code == 0 and "3 faces in 1 photographs" in said
    names = {path.name for path in out.iterdir()}
    assert {"p2c_cartoon_3.png", "p2c_card_1.png", "p2c_pasted.png", "p2c_step1_found_2.png"} <= names
    assert len(names) == 3 * (3 + 6) + 1
    pasted = np.asarray(opened(out / "p2c_pasted.png"))
    changed = (pasted != np.asarray(group)).any(2)
    assert pasted.shape == (300, 480, 3) and 0.05 < changed.mean() < 0.5 and not changed[:, 150:200].any()
    assert len(list((tmp_path / "two").glob("*"))) == 0
    code, said, _ = run_cli(
        capsys, "cartoon", tmp_path / "party.png", *common, "--faces", 2, "--output", tmp_path / "two"
    )
    assert code == 0 and len(list((tmp_path / "two").iterdir())) == 4


def test_photographs_as_people_have_them(run, tmp_path, capsys):
    face = page((photos(PORTRAITS, "images", 10, 70, 10)[1], 60, 20, 160), size=(280, 260))
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    face.convert("L").save(source / "grey.jpg")
    lying = face.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6
    lying.save(source / "deep" / "phone.jpg", exif=exif)
    clear = face.convert("RGBA")
    clear.putalpha(Image.new("L", face.size, 200))
    clear.save(source / "clear.png")
    save_png16(torch.from_numpy(np.asarray(face).transpose(2, 0, 1)[None] / 127.5 - 1), source / "sixteen.png")
    face.transpose(Image.Transpose.ROTATE_180).save(source / "over.png")
    page().save(source / "nobody.png")
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    (source / "notes.txt").write_text("no photograph")
    common = ["--network", run, "--weights-dir", WEIGHTS, "--output", tmp_path / "out"]
    code, said, err = run_cli(capsys, "cartoon", source, *common, "--paste")
    assert code == 0 and "5 faces in 5 photographs" in said
    assert "skipped nobody.png: no face was found" in err and "skipped broken.jpg: " in err
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    stems = ("grey", "deep/phone", "clear", "sixteen", "over")
    assert found == {f"{stem}_{what}.png" for stem in stems for what in ("photo", "cartoon", "pasted")}
    assert opened(tmp_path / "out" / "deep" / "phone_pasted.png").size == face.size
    with Image.open(tmp_path / "out" / "clear_pasted.png") as pasted:
        assert pasted.mode == "RGBA" and pasted.getchannel("A").getextrema() == (200, 200)
    crops = {stem: np.asarray(opened(tmp_path / "out" / f"{stem}_photo.png").convert("L"), float) for stem in stems}
    for stem in ("grey", "deep/phone", "sixteen", "over"):
        assert np.abs(crops[stem] - crops["sixteen"]).mean() < 12, stem


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody.png"], "nobody.png: no face was found; faces are found from about 20 pixels on"),
        (["none"], "no face in any of 2 photographs: a.png: no face was found"),
        (["missing.png"], "missing.png: does not exist; give a photograph, a folder of them, or a video"),
        (["broken.jpg"], "broken.jpg: can't be used: "),
        (["nobody.png", "--faces", "some"], "--faces can't be 'some'; say all, largest, or how many: --faces 3"),
        (["nobody.png", "--faces", "0"], "--faces can't be '0'"),
        (["nobody.png", "--smooth", "0.5"], "--smooth is for videos"),
        (["nobody.png", "--output", "broken.jpg"], "broken.jpg: is a file; name a folder for the results"),
        (["nobody.png", "--output", "me.png"], "me.png: is a file's name, and there are several files; name a folder"),
        (["none", "--output", "none/out"], "the results would lie among the photographs"),
        (["out/p2c_x.png", "--output", "out"], "its cartoon would overwrite it"),
        (["nobody.png", "--weights-dir", "none"], "none: lacks the network that finds faces; put mtcnn/pnet.pt"),
        (["nobody.png", "--weights-dir", "nowhere"], "nowhere: is no folder; give one with mtcnn/pnet.pt"),
    ],
)
def test_errors_are_one_line(run, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    for name in ("nobody.png", "none/a.png", "none/b.png", "out/p2c_x.png"):
        Path(name).parent.mkdir(exist_ok=True)
        page(size=(80, 60)).save(name)
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    weights = [] if "--weights-dir" in words else ["--weights-dir", WEIGHTS]
    code, said, err = run_cli(capsys, "cartoon", *words, "--network", run, *weights)
    assert code == 2 and said == "" and message in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("*_cartoon*"))


def test_helpers_say_where_they_are(tmp_path, monkeypatch):
    assert find_helper("mtcnn", WEIGHTS) == WEIGHTS / "mtcnn"
    assert find_helper("selfie", WEIGHTS) == WEIGHTS / "faces" / "selfie.onnx"
    assert all(finding.ok and "another file" not in finding.value for finding in examine_helpers(WEIGHTS))
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    monkeypatch.setenv("ORGANZA_OFFLINE", "1")
    findings = list(examine_helpers())
    assert [finding.ok for finding in findings] == [False] * len(HELPERS)
    assert "it is fetched on first use" in findings[0].advice and "put faces/selfie.onnx" in findings[1].advice
    with pytest.raises(UserError, match="not downloaded yet, and offline; say --weights-dir, or put mtcnn/pnet"):
        find_helper("mtcnn")
    with pytest.raises(UserError, match="lacks the network that finds people in portraits; put faces/selfie"):
        find_helper("selfie")
    (tmp_path / "weights" / "faces").mkdir(parents=True)
    (tmp_path / "weights" / "faces" / "selfie.onnx").write_bytes(b"x")
    assert "another file" in list(examine_helpers())[1].value
    (tmp_path / "weights" / "mtcnn").mkdir(exist_ok=True)
    for name in ("pnet", "rnet", "onet"):
        data = (WEIGHTS / "mtcnn" / f"{name}.pt").read_bytes()
        (tmp_path / "weights" / "mtcnn" / f"{name}.pt").write_bytes(data)
    assert find_helper("mtcnn") == tmp_path / "weights" / "mtcnn"


def clip(path: Path, count: int = 12) -> Path:
    """A face that wanders over grey, with a sound."""
    av = pytest.importorskip("av")
    face = photos(PORTRAITS, "images", 10, 70, 10)[1]
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=10)
        video.height, video.width, video.pix_fmt = 160, 240, "yuv420p"
        heard = file.add_stream("aac", rate=16000)
        for k in range(count):
            pixels = np.asarray(page((face, 40 + 3 * k, 20 + k, 90), size=(240, 160)))
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(video.encode())
        wave = (0.3 * np.sin(np.arange(1024) * 0.1)).astype(np.float32)
        for start in range(0, 16000, 1024):
            chunk = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts = 16000, start
            file.mux(heard.encode(chunk))
        file.mux(heard.encode())
    return path


def test_a_video(C, run, tmp_path, capsys):
    pytest.importorskip("cv2")
    source = clip(tmp_path / "a.mp4")
    done, seen = cartoon_video(C, source, tmp_path / "b.mp4", smooth=0.6)
    assert (done.frames, seen.tracks, seen.empty, seen.cuts) == (12, 1, 0, 0)
    assert times(done.path) == times(source) and open_clip(done.path).sound
    assert seen.flicker is not None and seen.flicker[1] < seen.flicker[0]
    for k, (one, other) in enumerate(zip(*(Reading(open_clip(p)).frames() for p in (source, done.path)), strict=True)):
        away = np.abs(one.pixels.astype(int) - other.pixels).mean(2)
        assert away[45 + k : 85 + k, 75 + 3 * k : 95 + 3 * k].mean() > 12 and away[:, -20:].mean() < 4
    words = ["cartoon", source, "--network", run, "--weights-dir", WEIGHTS]
    code, said, err = run_cli(capsys, *words, "--output", tmp_path / "films")
    assert (code, err) == (0, "") and "1 faces followed, 0 cuts" in said and "flicker of the cartoons" in said
    assert (tmp_path / "films" / "a.mp4").is_file() and "12 frames" in said
    for more, message in (
        (["--card"], "--card is for photographs"),
        (["--output", source], "its translation would overwrite it"),
        (["--output", tmp_path / "b.gif"], ".mp4, .mov"),
    ):
        code, _, err = run_cli(capsys, *words, *more)
        assert code == 2 and message in err and err.count("\n") == 1


def test_a_stopped_video_can_be_played(C, tmp_path):
    def stops(x):
        seen.append(x)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return x

    seen: list[np.ndarray] = []
    done, _ = cartoon_video(replace(C, translate=stops), clip(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    assert done.stopped and done.frames == len(times(tmp_path / "b.mp4")) == 3


def test_portraits_as_a_dataset(tmp_path, capsys):
    faces = photos(PORTRAITS, "images", 10, 70, 10)
    source = tmp_path / "in"
    source.mkdir()
    page((faces[0], 20, 20, 110), (faces[1], 220, 20, 130)).save(source / "two.png")
    page((faces[2], 100, 60, 128)).rotate(20, Image.Resampling.BICUBIC, fillcolor=(120, 130, 140)).save(
        source / "t.png"
    )
    page((faces[3], 100, 60, 40)).save(source / "far.png")
    page().save(source / "nobody.png")
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    words = ["dataset", "align", "--template", "photo2cartoon", "--source", source, "--weights-dir", WEIGHTS]
    code, said, _ = run_cli(capsys, *words, "--dest", tmp_path / "all", "--faces", "all", "--size", 64, "--least", 70)
    assert code == 0 and "3 pictures, 64x64" in said
    assert "skipped nobody.png: no face was found" in said and "skipped far.png: the face is too small: its " in said
    assert "1 left out: the face is too small" in said and "skipped broken.jpg" in said
    images = [np.asarray(opened(path)) for path in sorted((tmp_path / "all").rglob("*.png"))]
    assert all(image.shape == (64, 64, 3) and (image[:2, :4] == 255).all() for image in images)
    code, said, _ = run_cli(
        capsys, *words, "--dest", tmp_path / "kept.zip", "--background", "keep", "--workers", 2, "--size", 64
    )
    assert code == 0 and "3 pictures" in said  # the largest of each, and the small one
    for more, message in (
        (["--mtcnn", WEIGHTS], "takes its networks from --weights-dir"),
        (["--source", tmp_path / "none"], "no face that can be used in 1 photographs: a.png: no face was found"),
    ):
        (tmp_path / "none").mkdir(exist_ok=True)
        page().save(tmp_path / "none" / "a.png")
        code, _, err = run_cli(capsys, *words, "--dest", tmp_path / "x", *more)
        assert code == 2 and message in err and not (tmp_path / "x").exists()
    code, _, err = run_cli(capsys, "dataset", "align", "--source", source, "--dest", tmp_path / "x", "--faces", "all")
    assert code == 2 and "--faces is for --crop photo2cartoon" in err


def test_paddlegans_calls(run, tiny_run, tmp_path):
    from organza.predictors import Photo2Cartoon, Photo2CartoonPredictor, StyleGANv2, StyleGANv2Predictor

    page((photos(PORTRAITS, "images", 10, 70, 10)[1], 60, 20, 160), size=(280, 260)).save(tmp_path / "a.jpg")
    assert Photo2Cartoon is Photo2CartoonPredictor and StyleGANv2 is StyleGANv2Predictor
    predictor = Photo2CartoonPredictor(str(tmp_path / "output"), str(run), weights_dir=WEIGHTS)
    cartoon = predictor.run(str(tmp_path / "a.jpg"))
    assert cartoon.dtype == np.uint8 and cartoon.shape == (32, 32, 3)
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "output" / "p2c_cartoon.png")), cartoon)
    assert opened(tmp_path / "output" / "p2c_photo.png").size == (32, 32)
    page().save(tmp_path / "b.png")
    with pytest.raises(UserError, match="no face was found"):
        predictor.run(tmp_path / "b.png")
    for kind in (Photo2Cartoon, StyleGANv2):
        with pytest.raises(UserError, match=r"no weights are given, and none come with Organza; fetch https://paddle"):
            kind()
    with pytest.raises(UserError, match="no weights are called 'cats'; choose ffhq-config-f or animeface-512"):
        StyleGANv2(model_type="cats")
    files = []
    for _ in range(2):
        one = StyleGANv2Predictor(tmp_path / "styles", weight_path=tiny_run, seed=3, size=16, style_dim=8)
        files = one.run(n_row=2, n_col=3)
        assert [path.name for path in files] == ["sample.png", "sample_mixing_0.png", "sample_mixing_1.png"]
        assert opened(files[0]).size == (48, 32) and opened(files[1]).width == 69
    with pytest.raises(UserError, match="0 rows"):
        one.run(n_row=0)


def test_specs_of_networks_with_other_channels(tmp_path, C):
    """A network of grey images gives a cartoon in colour mode all the same."""
    from organza import PRESETS
    from organza.models.translator import Translator
    from organza.translate.faces.pipeline import translating

    spec = DataSpec((16, 16), 1, source=1)
    method = PRESETS["pix2pix"].run.method.toy().resolve(spec, 1).build(spec)
    model = next(iter(method.models.values()))
    T = Translator("pix2pix", spec, model, method.nets[model.net].eval(), None, torch.device("cpu"), torch.float32)
    assert translating(T)(np.zeros([64, 64, 3], np.uint8)).shape == (16, 16, 3)
