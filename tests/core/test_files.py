import errno
import os

import pytest

from organza.core.errors import UserError
from organza.core.files import atomic_write, make_folder


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
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out.bin"):
        (tmp_path / "missing").read_bytes()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"), atomic_write(tmp_path / "file" / "out.bin"):
        pass
    with pytest.raises(UserError, match="is a file, not a folder"):
        make_folder(tmp_path / "file")


def test_a_folder_in_the_way(tmp_path):
    with pytest.raises(UserError, match="this is a folder; give the name of a file"), atomic_write(tmp_path):
        pass
