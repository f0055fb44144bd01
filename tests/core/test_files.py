import errno
import os

import pytest

from organza.core.errors import UserError
from organza.core.files import TakenError, atomic_folder, atomic_write, make_folder, sweep


def test_replaces_whole(tmp_path):
    path = tmp_path / "deep" / "note.txt"
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["note.txt"]


def test_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_all_is_on_the_disk_before_it_takes_its_place_and_then_the_place(tmp_path, monkeypatch):
    said = []

    def fsync(handle):
        said.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")).split(".")[-1])

    for name in ("replace", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *paths, real=real: (said.append("moved"), real(*paths)))
    monkeypatch.setattr(os, "fsync", fsync)
    home = tmp_path / "home.dir"
    with atomic_write(home / "note.txt") as temporary:
        temporary.write_text("whole")
    assert said == ["txt", "moved", "dir"]
    said.clear()
    with atomic_folder(home / "run") as work:
        (work / "inner.sub").mkdir()
        (work / "inner.sub" / "a.json").write_text("{}")
    assert sorted(said[:2]) == ["json", "sub"] and said[2:] == ["part", "moved", "dir"]


def test_respects_umask(tmp_path):
    old = os.umask(0o022)
    try:
        with atomic_write(tmp_path / "a"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "out.bin: cannot be written; the disk is full; free some space or write somewhere else"),
        (errno.EROFS, "out.bin: cannot be written; this disk is read-only; write somewhere else"),
        (errno.EACCES, "you may not write here; change the permissions or write somewhere else"),
    ],
)
def test_says_what_to_do(tmp_path, number, message):
    with pytest.raises(UserError) as caught, atomic_write(tmp_path / "out.bin"):
        raise OSError(number, os.strerror(number))
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(InterruptedError), atomic_write(tmp_path / "out.bin"):
        raise InterruptedError(errno.EINTR, "interrupted")


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"), atomic_write(tmp_path / "file" / "out.bin"):
        pass
    with pytest.raises(UserError, match="is a file, not a folder"):
        make_folder(tmp_path / "file")


def test_a_folder_in_the_way(tmp_path):
    with pytest.raises(UserError, match="this is a folder; give the name of a file"), atomic_write(tmp_path):
        pass


@pytest.fixture(params=[0o022, 0o027])
def umask(request):
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def private(path):
    """Write as safetensors does: a file of one's own, put in the place of what was there."""
    own = path.with_name("own")
    own.write_bytes(b"x")
    own.chmod(0o600)
    own.replace(path)


def test_permissions_are_those_of_a_new_file_whoever_writes(tmp_path, umask):
    with atomic_write(tmp_path / "file") as temporary:
        private(temporary)
    with atomic_folder(tmp_path / "folder") as work:
        (work / "deep").mkdir()
        private(work / "deep" / "file")
        (work / "plain").write_text("x")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3 and {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}
    assert (tmp_path / "folder" / "deep").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "folder"

    def make(text, **options):
        with atomic_folder(path, **options) as work:
            (work / "file").write_text(text)
            assert text or {}["missing"]

    with pytest.raises(KeyError):
        make("")
    assert list(tmp_path.rglob("*")) == [path.parent]
    make("one")
    with pytest.raises(TakenError, match="is there already"):
        make("two")
    with pytest.raises(KeyError):
        make("", replace=True)
    assert (path / "file").read_text() == "one"
    make("three", replace=True)
    assert (path / "file").read_text() == "three" and list(path.parent.iterdir()) == [path]


def test_what_killed_writers_leave_is_swept(tmp_path):
    mine = ["log.jsonl", ".profile.old", ".a.part", "b.0123abcd.tmp", "kept"]
    for name in [*mine, ".log.0123abcd.tmp.jsonl", ".latest.0123abcd.tmp"]:
        (tmp_path / name).write_text("")
    for name in (".best.0123abcd.part", ".best.0123abcd.old", ".kept.0123abcd.old"):
        (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*mine, "best"])
    sweep(tmp_path / "nowhere")
