import struct

import numpy as np
import pytest
from data_helpers import encoded, noise, pngs, write_folder

from organza.core.errors import UserError
from organza.data import DataOptions, open_dataset, tfrecord
from organza.data.export.build import build


def slow_crc(data):
    """CRC-32C bit by bit, from the polynomial."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def test_checksum_known_answers():
    """RFC 3720, appendix B.4."""
    rows = np.array([[0] * 32, [255] * 32, list(range(32)), list(range(31, -1, -1))], np.uint8)
    assert [hex(c) for c in tfrecord.crc32c(rows)] == ["0x8a9136aa", "0x62a8ab43", "0x46dd794e", "0x113fdb5c"]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 255, 256, 257, 511, 512, 600, 1025])
def test_checksum_of_any_length(length):
    rows = np.random.RandomState(length).randint(0, 256, (3, length)).astype(np.uint8)
    assert tfrecord.crc32c(rows).tolist() == [slow_crc(row.tobytes()) for row in rows]


def test_bytes_of_a_record():
    """Worked out by hand from the protobuf encoding and the frame layout."""
    payload = bytes.fromhex(
        "0a 2a 0a 12 0a 05 7368617065 12 09 1a 07 0a 05 01 80 01 80 01".replace("1a 07 0a 05", "1a 07 0a 05")
        .replace("80 01 80 01", "02 03")
        .replace("0a 12", "0a 10")
        .replace("12 09", "12 07")
        .replace("1a 07 0a 05 01", "1a 05 0a 03 01")
        + " 0a 12 0a 04 64617461 12 0a 0a 08 0a 06 0102030405ff"
    )
    payload = b"\x0a" + bytes([len(payload) - 2]) + payload[2:]
    pixels = np.array([1, 2, 3, 4, 5, 255], np.uint8).reshape(1, 1, 2, 3)
    got = tfrecord.examples(pixels)[0].tobytes()
    assert got == payload

    def mask(crc):
        return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF

    head = struct.pack("<Q", len(payload))
    frame = head + struct.pack("<I", mask(slow_crc(head))) + payload + struct.pack("<I", mask(slow_crc(payload)))
    assert tfrecord.frames(tfrecord.examples(pixels)) == [frame]


def test_unpacked_integers_are_read_too():
    ints = b"".join(b"\x08" + tfrecord.varint(n) for n in (3, 300, 5))
    entry = tfrecord.field(1, b"shape") + tfrecord.field(2, tfrecord.field(3, ints))
    assert tfrecord.features(tfrecord.field(1, tfrecord.field(1, entry))) == {"shape": [3, 300, 5]}


@pytest.mark.parametrize("wrong", [b"\x80", b"\x0a\xff", b"\x0b", b"\xff" * 12])
def test_what_is_no_message(wrong):
    with pytest.raises(ValueError):
        tfrecord.features(wrong)


def test_levels_round_only_when_stored():
    pixels = np.zeros((1, 1, 16, 16), np.uint8)
    pixels[0, 0, :4, :4] = np.arange(16).reshape(4, 4) * 17
    whole, half, quarter = tfrecord.levels(pixels)
    assert (whole.shape, half.shape, quarter.shape) == ((1, 1, 16, 16), (1, 1, 8, 8), (1, 1, 4, 4))
    assert quarter[0, 0, 0, 0] == np.rint(pixels[0, 0, :4, :4].mean())


@pytest.fixture
def records(tmp_path):
    entries = {f"{kind}/{i}.png": encoded(noise(i)) for i, kind in enumerate("abcab")}
    build(write_folder(tmp_path / "set", entries), tmp_path / "tf", DataOptions(labels="folders"), form="tfrecords")
    return tmp_path / "tf"


def test_round_trip(records):
    assert sorted(p.name for p in records.glob("tf-*")) == ["tf-r02.tfrecords", "tf-r03.tfrecords", "tf-rxx.labels"]
    data = open_dataset(records, DataOptions(labels="auto"))
    images, labels = data.fetch(range(5))
    np.testing.assert_array_equal(images, [noise(i) for i in (0, 3, 1, 4, 2)])
    assert labels.argmax(1).tolist() == [0, 0, 1, 1, 2]
    small = open_dataset(records / "tf-r02.tfrecords", DataOptions(labels="auto"))
    assert small.spec.resolution == (4, 4)
    assert small.spec.label_dim == 3


def test_an_independent_reader_agrees(records):
    reader = pytest.importorskip("tfrecord.reader")
    description = {"shape": "int", "data": "byte"}
    found = list(reader.tfrecord_loader(str(records / "tf-r03.tfrecords"), None, description))
    assert [list(f["shape"]) for f in found] == [[3, 8, 8]] * 5
    for example, i in zip(found, (0, 3, 1, 4, 2), strict=True):
        np.testing.assert_array_equal(
            np.frombuffer(example["data"], np.uint8).reshape(3, 8, 8).transpose(1, 2, 0), noise(i)
        )


def test_an_independent_writer_is_read(tmp_path):
    writer = pytest.importorskip("tfrecord.writer")
    file = writer.TFRecordWriter(str(tmp_path / "x.tfrecords"))
    for i in range(3):
        pixels = noise(i).transpose(2, 0, 1)
        file.write({"shape": (list(pixels.shape), "int"), "data": (pixels.tobytes(), "byte")})
        file.write({"image/encoded": (encoded(noise(i)), "byte")})
    file.close()
    np.testing.assert_array_equal(
        open_dataset(tmp_path / "x.tfrecords").fetch(range(6))[0], [noise(i // 2) for i in range(6)]
    )


def test_grey_records(tmp_path):
    entries = {f"{i}.png": encoded(noise(i, channels=1)) for i in range(2)}
    build(write_folder(tmp_path / "set", entries), tmp_path / "tf", DataOptions(), form="tfrecords")
    np.testing.assert_array_equal(
        open_dataset(tmp_path / "tf").fetch([0, 1])[0][..., 0], [noise(i, channels=1) for i in (0, 1)]
    )


def test_sizes_that_records_can_not_hold(tmp_path):
    folder = write_folder(tmp_path / "set", pngs(2, height=6, width=6))
    with pytest.raises(
        UserError, match=r"squares with a power of two as side, not 6x6; give --resolution 4, 8, 16 \.\.\."
    ):
        build(folder, tmp_path / "tf", DataOptions(), form="tfrecords")
    write_folder(tmp_path / "set", {"9.png": encoded(noise(0, 4, 4)), "8.png": encoded(noise(0, 8, 8))})
    for i in range(2):
        (folder / f"00{i}.png").unlink()
    with pytest.raises(UserError, match="TFRecords hold images of one size; give --resolution"):
        build(folder, tmp_path / "tf", DataOptions(), form="tfrecords")
    assert not list(tmp_path.glob("*tf*"))


def test_damaged_records(records):
    file = records / "tf-r03.tfrecords"
    raw = bytearray(file.read_bytes())
    length = len(raw) // 5
    for at, reason in (
        (length * 2 + 50, "damaged (its checksum is wrong)"),
        (length * 3 - 2, "damaged (its checksum is wrong)"),
    ):
        changed = bytearray(raw)
        changed[at] ^= 1
        file.write_bytes(changed)
        assert open_dataset(records).skipped == [("00000002", reason)]
    for changed, message in (
        (raw[:-3], f"cut short or damaged at byte {length * 4}"),
        (raw[: length * 4 + 5], f"cut short at byte {length * 4}"),
        (raw[:length] + b"\0" + raw[length + 1 :], f"damaged at byte {length} (wrong checksum of a length)"),
    ):
        file.write_bytes(changed)
        with pytest.raises(UserError) as caught:
            open_dataset(records)
        assert str(caught.value) == f"{file}: not a whole TFRecords file ({message})"


def test_records_that_hold_something_else(tmp_path):
    bad = tfrecord.examples(np.zeros((1, 1, 4, 4), np.uint8))
    bad[0, -20] ^= 1  # somewhere in the heads: the message no longer parses, or names no image
    (tmp_path / "a.tfrecords").write_bytes(b"".join(tfrecord.frames(bad)))
    with pytest.raises(UserError, match="no usable images: 00000000: not an image record"):
        open_dataset(tmp_path)


def test_a_labels_file_that_is_an_npz(records):
    with open(records / "tf-rxx.labels", "wb") as file:
        np.savez(file, np.eye(3)[[0, 2, 1, 1, 0]])
    labels = open_dataset(records, DataOptions(labels="own")).fetch(range(5))[1]
    assert labels.argmax(1).tolist() == [0, 2, 1, 1, 0]


def test_wrong_labels_files(records):
    labels = records / "tf-rxx.labels"
    for values, message in (
        (np.ones((2, 3)), "2 labels for 5 images"),
        (np.ones(5), "labels should be finite numbers, one row for each image"),
        (np.full((5, 2), np.nan), "labels should be finite numbers, one row for each image"),
        (np.array([[{}]] * 5), "a broken NumPy file \\(it holds Python objects"),
    ):
        with open(labels, "wb") as file:
            np.save(file, values)
        with pytest.raises(UserError, match=message):
            open_dataset(records, DataOptions(labels="own"))
