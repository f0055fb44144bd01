import os
import zipfile

import pytest
from PIL import Image

from organza.cli.main import main
from organza.cli.verbs import VERBS
from organza.core.speed import remember
from organza.presets import PRESETS


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def size(path):
    with Image.open(path) as image:
        return image.size


def run(capsys, line):
    code = main(line.split())
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("train", "dataset")])
def test_help(capsys, verb):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"usage: organza {verb}" in capsys.readouterr().out


def test_generate_files(capsys, network):
    code, out, err = run(capsys, "generate --network runs/a --seeds 0,3-4 --trunc 0.7 --outdir new --device cpu")
    assert (code, out, err) == (0, f"{os.path.join('new', 'seed0000.png')} to seed0004.png: 3 images\n", "")
    assert network == [(os.path.join("runs", "a"), "cpu")]
    pictures = ["seed0000.png", "seed0003.png", "seed0004.png"]
    assert sorted(os.listdir("new")) == sorted([*pictures, *(f"{name}.json" for name in pictures)])


def test_generate_grid(capsys, network):
    assert run(capsys, "generate --network a --grid 4x4 --noise none")[:2] == (
        0,
        f"{os.path.join('out', 'grid.png')}\n",
    )
    assert size("out/grid.png") == (64, 64)
    assert run(capsys, "generate --network a --seeds 1 --output one.webp")[:2] == (0, "one.webp\n")
    assert size("one.webp") == (16, 16)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("--grid 4x2", (64, 32)),
        ("--grid 8x8", (128, 128)),
        ("--grid 1x1", (16, 16)),
        ("--grid 5x4 --output a.png", (80, 64)),
        ("--output a.png", (64, 64)),
        ("--seeds 1-8 --grid 4x2", (64, 32)),
        ("--seeds 1-3 --output a.png", (32, 32)),
    ],
)
def test_seeds_follow_the_grid(capsys, network, words, wanted):
    code, out, _ = run(capsys, f"generate --network a {words}")
    assert code == 0
    assert size(out.strip()) == wanted
    with Image.open(out.strip()) as image:
        cells = [
            image.crop((x, y, x + 16, y + 16)).tobytes()
            for y in range(0, wanted[1], 16)
            for x in range(0, wanted[0], 16)
        ]
    blank = bytes([255]) * len(cells[0])
    assert cells.count(blank) == (1 if "1-3" in words else 0)


def test_walks_follow_the_grid(capsys, network):
    line = "walk --network a --grid 3x2 --seconds 0.2 --fps 10 --output a.gif"
    assert run(capsys, line)[:2] == (0, "a.gif\n")
    assert size("a.gif") == (48, 32)
    assert "2 seeds for a grid of 3x2" in run(capsys, f"{line} --seeds 1,2")[2]


def test_interpolate(capsys, network):
    line = "interpolate --network a --seeds 1,5,9,13 --grid 3x2 --seconds 0.4 --fps 10 --trunc 0.7 --output"
    code, out, err = run(capsys, f"{line} loop.gif")
    assert (code, out) == (0, "loop.gif\n")
    assert err == "organza: 6 cells x 4 keyframes need 24 seeds: each cell adds 1000 to those of the cell before\n"
    with Image.open("loop.gif") as film:
        assert (film.size, film.n_frames) == ((48, 32), 4)
    assert run(capsys, f"{line} loop.mp4 --space z")[0] == 0
    assert os.path.getsize("loop.mp4") > 500


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("truncation --seeds 1,2 --columns 3 --trunc 0.7", "out/truncation.png"),
        ("mix --rows 1,2 --columns 3 --styles 0-2", "out/mix.png"),
        ("noise --seed 3 --samples 2 --scale 2", "out/noise.png"),
        ("walk --seeds 1,2 --seconds 0.4 --fps 10 --output out/walk.gif", "out/walk.gif"),
    ],
)
def test_figures(capsys, network, line, path):
    code, out, err = run(capsys, f"{line} --network a")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == os.path.join(*path.split("/"))
    assert os.path.exists(path) and os.path.exists(f"{path}.json")


def test_faces(capsys):
    assert run(capsys, "faces --count 3 --resolution 24x16 --dest faces.zip") == (0, "faces.zip\n", "")
    with zipfile.ZipFile("faces.zip") as file, file.open("00000/img00000002.png") as picture:
        assert size(picture) == (16, 24)


def test_presets(capsys):
    code, out, _ = run(capsys, "presets")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line[:1].isalpha()}
    for name, entry in PRESETS.items():  # long summaries go on in the next line
        facts = [entry.facts.takes, entry.facts.paper, str(entry.facts.size[0]), entry.summary[:40]]
        assert all(fact in lines[name] for fact in facts)


def test_presets_cost_what_this_machine_needs_for_them(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    _, out, _ = run(capsys, "presets")
    assert "GFLOP/image" in out and "`organza doctor` measures this machine" in out
    remember({"float32": 50.0})
    _, out, _ = run(capsys, "presets")
    (line,) = (line for line in out.splitlines() if line.startswith("pix2pix "))
    assert "33 min" in line  # 99 GFLOP an image at 50 GFLOP/s


@pytest.mark.parametrize("name", PRESETS)
def test_one_preset(capsys, name):
    code, out, _ = run(capsys, f"presets {name}")
    assert code == 0
    assert out.startswith(f"{name}: {PRESETS[name].summary}\n")
    for option in ("--kimg", "--resolution", "--batch"):
        assert f"  {option} " in out
    assert "arXiv" in out or name in ("cartoongan", "animegan")  # which are not there


def test_doctor(capsys):
    code, out, _ = run(capsys, "doctor --no-speed")
    assert code == 0
    assert all(line.startswith(("ok   ", "warn ")) for line in out.splitlines())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("generate", "--network is missing; `organza generate --help` explains the options"),
        ("generate --network nowhere", "nowhere: does not exist; give the folder of a run"),
        ("generate --network a --seeds x", "can't read the seeds 'x'"),
        ("generate --network a --grid 4", "can't read the grid '4'"),
        (
            "generate --network a --class 1--2",
            "can't read the classes '1--2'; write numbers and ranges, such as 0,1,4-6",
        ),
        ("generate --network a --class 1 --w a.npz", "a saved w has its class in it already; leave --class or --w out"),
        ("generate --network a --save-w a.txt", "a.txt: no format is known for '.txt'; end the name in .npz"),
        ("redo a.json", "a.json: does not exist; give the .json beside an image that Organza made"),
        ("interpolate --network a --output loop.avi", "loop.avi: no format is known for '.avi'"),
        ("interpolate --network a --seeds 1 --output a.gif", "an interpolation needs two seeds or more"),
        ("interpolate --network nowhere", "nowhere: does not exist"),
        ("presets stylegann", "no preset is called 'stylegann'; did you mean stylegan"),
        ("faces", "--dest is missing"),
        ("faces --dest a.zip --count 0", "--count must be at least 1, not 0"),
        ("faces --dest a.zip --resolution big", "'big' is not a size"),
        ("faces --dest a.zip --label hat", "faces have no choice called 'hat'"),
    ],
)
def test_errors(capsys, line, message):
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert err.startswith("organza: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("truncation --network a --columns 2", "2 columns have no middle"),
        ("mix --network a --styles 9", "there is no layer 9; give numbers from 0 to 5"),
        ("noise --network a --samples 1", "a deviation needs two samples or more"),
        ("walk --network a --smooth 0 --output a.gif", "--smooth must be above 0, not 0;"),
    ],
)
def test_errors_of_figures(capsys, network, line, message):
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert message in err
