"""What stands in the place of a file."""

import io

import numpy as np
import pytest
from PIL import Image

from organza.core.sniff import HEAD, instead

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 381673535\n"


def saved(save, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()[:HEAD]


def image(kind):
    return saved(lambda file: Image.new("RGB", (4, 4)).save(file, kind))


@pytest.mark.parametrize(
    ("head", "what", "remedy"),
    [
        (b"", "an empty file", "download it again"),
        (LFS, "a Git LFS pointer", "git lfs pull"),
        (b"\xef\xbb\xbf\r\n" + LFS, "a Git LFS pointer", "git lfs pull"),
        (b"/annex/objects/MD5E-s381--ab.png\n", "a git-annex pointer", "git annex get"),
        (b"<!doctype html><html>", "a web page", "in a browser"),
        (b"\n \n<!DOCTYPE HTML PUBLIC '-//W3C//DTD'>", "a web page", "in a browser"),
        (b"<HTML lang=de>", "a web page", "in a browser"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<!DOCTYPE html>", "a web page", "in a browser"),
        ("<html>".encode("utf-16"), "a web page", "in a browser"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', "an XML answer of a server", "check the address"),
        (b"<Error><Code>NoSuchKey</Code>", "an XML answer of a server", "check the address"),
        (b'<?xml version="1.0"?><svg xmlns="x">', "an SVG drawing", "PNG"),
        (b"404: Not Found", "an error message of a server", "check the address"),
        (b'{"message": "Not Found", "status": "404"}', "an error message of a server", "check the address"),
        (b"Access denied", "an error message of a server", "check the address"),
        (b"Rar!\x1a\x07\x00", "a RAR archive", ".zip"),
        (b"7z\xbc\xaf\x27\x1c\x00", "a 7z archive", ".zip"),
        (b"\x1f\x8b\x08\x00", "a gzip archive", "unpack"),
        (b"a.png".ljust(257, b"\0") + b"ustar\x0000", "a tar archive", "unpack"),
        (bytes(16) + b"\xde\xc0\xef\xbe", "an LMDB database (data.mdb)", "the folder"),
        (saved(np.savez, mu=np.zeros(3), sigma=np.eye(3)), "FID statistics", "--reference"),
        (saved(np.savez_compressed, w=np.zeros(3)), "NumPy arrays (.npz)", ""),
        (saved(np.save, np.zeros(3)), "a NumPy array (.npy)", ""),
        (image("PNG"), "a PNG image", ""),
        (image("JPEG"), "a JPEG image", ""),
        (image("WEBP"), "a WebP image", ""),
        (b"MZ\x90\x00\x03", "a program", ""),
    ],
)
def test_what_it_is_instead(head, what, remedy):
    found = instead(head)
    assert found is not None and found[0].startswith(what) and remedy in found[1]


@pytest.mark.parametrize(
    "head", [b"hello", b"MZ,file\n1,2\n", b'{"labels": []}', b"\x80\x02}q\x00.", b"file,label\n", b"\0" * 600]
)
def test_what_it_does_not_know(head):
    assert instead(head) is None


@pytest.mark.parametrize("begin", [b"<!-- --> ", b" \n", b"../", b"<?xml >"])
def test_a_hostile_head_is_read_in_one_go(begin):
    found = instead((begin * HEAD)[:HEAD])  # a pattern that tries everything would never come back
    assert (found is None) == (begin != b"<?xml >")
