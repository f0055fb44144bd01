"""Files that lie about their sizes, or are put together to break a reader. Each is small; each maker returns it."""

import io
import pickle
import struct
import tarfile
import zlib

import numpy as np
from data_helpers import encoded, noise, write_zip
from test_idx import idx

from organza.data import tfrecord

PNG = encoded(noise(0, 16, 16))


def png(width, height, rows, colour=2, extra=b""):
    """A PNG that declares any size; ``rows`` is its unpacked content."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def zip_record(name, packed, size, crc, offset, method=8, extra=b""):
    fields = (b"PK\1\2", 20, 20, 0x800, method, 0, 33, crc, packed, size, len(name), len(extra), 0, 0, 0, 0, offset)
    return struct.pack("<4s6H3L5H2L", *fields) + name + extra


def zip_entry(name, data, size, crc, method=8):
    fields = (b"PK\3\4", 20, 0x800, method, 0, 33, crc, len(data), size, len(name), 0)
    return struct.pack("<4s5H3L2H", *fields) + name + data


def zip_end(count, size, offset):
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, size, offset, 0)


def overlapping_zip(count=3000):
    """All entries are the same stretch of bytes, which unpacks to megabytes."""
    plain = bytes(4 << 20)
    packed = zlib.compress(plain, 9)[2:-4]
    body = zip_entry(b"0.png", packed, len(plain), zlib.crc32(plain))
    records = b"".join(zip_record(b"%05d.png" % i, len(packed), len(plain), zlib.crc32(plain), 0) for i in range(count))
    return body + records + zip_end(count, len(records), len(body))


def far_zip64():
    """An entry whose offset is 2^62."""
    body = zip_entry(b"0.png", PNG, len(PNG), zlib.crc32(PNG), 0)
    extra = struct.pack("<2HQ", 1, 8, 1 << 62)
    record = zip_record(b"0.png", len(PNG), len(PNG), zlib.crc32(PNG), 0xFFFFFFFF, 0, extra)
    return body + record + zip_end(1, len(record), len(body))


def far_directory():
    """A zip64 record that puts the directory at 2^62."""
    body = zip_entry(b"0.png", PNG, len(PNG), zlib.crc32(PNG), 0)
    record = zip_record(b"0.png", len(PNG), len(PNG), zlib.crc32(PNG), 0, 0)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1 << 62, 1 << 62, 1 << 62, 1 << 62)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(body) + len(record), 1)
    return body + record + wide + locator + zip_end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def zipped(entries):
    file = io.BytesIO()
    return write_zip(file, entries) and file.getvalue()


def tarred(entries, end=True):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        members = tar.offset
    return file.getvalue() if end else file.getvalue()[:members]


def tar_header(name, size, kind=b"0"):
    """A member's head with its size in the form for large (and negative) numbers."""
    info = tarfile.TarInfo(name)
    info.type = kind
    raw = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    raw[124:136] = (size % (1 << 96)).to_bytes(12, "big")
    raw[124] |= 0x80
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def looping_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, target in (("a.png", "b.png"), ("b.png", "a.png"), ("c.png", "../../../etc/passwd"), ("d", "d")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        info = tarfile.TarInfo("e.png")
        info.size = len(PNG)
        tar.addfile(info, io.BytesIO(PNG))
    return file.getvalue()


def bomb_gz(megabytes, head=b""):
    """Zeros, packed in the best way."""
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    parts = [machine.compress(head), *(machine.compress(block) for _ in range(megabytes)), machine.flush()]
    return b"".join(parts)


def npy(header):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def npy_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(packed=True, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


def record(payload):
    return tfrecord.frames(np.frombuffer(payload, np.uint8)[None])[0]


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


class Pointer:
    """An object array over bytes of the file: NumPy would follow them as pointers."""

    def __reduce__(self):
        return np.frombuffer, (b"\x41" * 8 * 3072, "O")


def batches(data):
    return tarred({"cifar-10-batches-py/data_batch_1": data})


DEEP = b"[" * 500_000
MANY = b"[" + b"[]," * 30_000_000 + b"[]]"

FILES = {
    "narrow.png": lambda: png(1, 67_000_000, bytes(4 * 67_000_000)),
    "wide.png": lambda: png(67_000_000, 1, bytes(3 * 67_000_000 + 1)),
    "huge.png": lambda: png(60_000, 60_000, b""),
    "notes.png": lambda: _with_notes(),
    "huge.bmp": lambda: _patched(encoded(noise(0), "BMP"), 18, struct.pack("<2i", 1 << 30, 1 << 30)),
    "huge.gif": lambda: _patched(encoded(noise(0), "GIF"), 6, b"\xff\xff\xff\xff"),
    "huge.ppm": lambda: b"P6 60000 60000 255\n" + bytes(1000),
    "huge.tif": lambda: _tiff(60_000, 60_000),
    "long.tif": lambda: _tiff(8000, 8000),
    "huge.jp2": lambda: _patched_after(encoded(noise(0), "JPEG2000"), b"ihdr", struct.pack(">2I", 1 << 30, 1 << 30)),
    "overlap.zip": overlapping_zip,
    "far.zip": far_zip64,
    "far-directory.zip": far_directory,
    "deep.zip": lambda: zipped({"0.png": PNG, "dataset.json": DEEP}),
    "many.zip": lambda: zipped({"0.png": PNG, "dataset.json": MANY}),
    "bomb.zip": lambda: zipped({f"{i}.png": bytes(100 << 20) for i in range(2)}),
    "deep.tar": lambda: tarred({"0.png": PNG, "0.json": DEEP}),
    "many.tar": lambda: tarred({"0.png": PNG, "0.json": MANY[:80_000_000] + b"[]]"}),
    "huge-member.tar": lambda: tar_header("0.png", 1 << 62) + bytes(2048),
    "negative.tar": lambda: tarred({"0.png": PNG}, end=False) + tar_header("1.png", -1024) + bytes(1024),
    "negative-first.tar": lambda: tar_header("1.png", -512) + bytes(1024),
    "long-name.tar": lambda: tar_header("0.png", 1 << 40, b"L") + bytes(2048),
    "pax.tar": lambda: tar_header("0.png", 1 << 33, b"x") + bytes(4096),
    "pax.tar.gz": lambda: bomb_gz(300, tar_header("0.png", 1 << 33, b"x")),
    "bomb.tar.gz": lambda: bomb_gz(600, tarred({"0.png": PNG}, end=False) + tar_header("big.bin", 600 << 20)),
    "loop.tar": looping_tar,
    "class.tar": lambda: tarred({"0.png": PNG, "0.cls": b"9" * 5000}),
    "class-high.tar": lambda: tarred({"0.png": PNG, "0.cls": b"1000000000000"}),
    "header-idx3-ubyte": lambda: struct.pack(">4I", 0x803, 1 << 31, 0, 1 << 31),
    "huge-images-idx3-ubyte": lambda: struct.pack(">4I", 0x803, 3_000_000, 28, 28),
    "tiny-images-idx3-ubyte": lambda: idx(np.zeros((1_000_000, 1, 1), np.uint8)),
    "images-idx3-ubyte.gz": lambda: bomb_gz(2000, struct.pack(">4I", 0x803, 1 << 20, 40, 50)),
    "huge.npy": lambda: npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 1000)}"),
    "objects.npy": lambda: npy_of(np.array([{}, print], object)),
    "deep.npy": lambda: npy("(" * 100),
    "types.npy": lambda: npy("{'descr': ('|u1', (1000000000,)), 'fortran_order': False, 'shape': (1,)}"),
    "negative.npy": lambda: npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8)}"),
    "zeros.npz": lambda: npz(images=np.zeros((600, 1024, 1024), np.uint8)),
    "tiny.npz": lambda: npz(images=np.zeros((30_000_000, 2, 2), np.uint8)),
    "objects.npz": lambda: npz(images=np.array([{}], object)),
    "length.tfrecords": lambda: struct.pack("<Q", 1 << 62) + bytes(8),
    "parts.tfrecords": lambda: record(tfrecord.field(1, tfrecord.field(1, b"\x0a\0" * 1_000_000))),
    "numbers.tfrecords": lambda: record(
        tfrecord.field(1, tfrecord._entry(b"shape", tfrecord.field(3, tfrecord.field(1, bytes(5_000_000)))))
    ),
    "shape.tfrecords": lambda: record(
        tfrecord.field(
            1,
            tfrecord._entry(b"shape", tfrecord.field(3, tfrecord.field(1, b"\x03" + tfrecord.varint(1 << 62) * 2)))
            + tfrecord._entry(b"data", tfrecord.field(1, tfrecord.field(1, b"x"))),
        )
    ),
    "evil-batch.tar": lambda: batches(pickle.dumps(Evil(), 2)),
    "pointer-batch.tar": lambda: batches(pickle.dumps({"data": Pointer(), "labels": [0] * 10}, 2)),
    "objects-batch.tar": lambda: batches(pickle.dumps({"data": np.array([[1] * 3072], object), "labels": [0]}, 2)),
    "deep-batch.tar": lambda: batches(b"\x80\x02" + b"]" * 1_000_000 + b"."),
    "growing-batch.tar": lambda: batches(b"\x80\x02(" + b"X\x01\0\0\0a" + b"2" * 100 + b"t" + b"2\x86" * 60 + b"."),
    "number-batch.tar": lambda: batches(pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [1 << 70000]})),
}
"""Name -> maker. What each of them must not do: run anything, end the process, take much memory, or take long."""


def _patched(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def _patched_after(data, mark, new):
    return _patched(data, data.index(mark) + len(mark), new)


def _with_notes():
    """A PNG with a compressed text of 200 MB."""
    body = b"zTXt" + b"a\0\0" + zlib.compress(bytes(200 << 20), 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png(4, 4, bytes(52), extra=chunk)


def _tiff(width, height):
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    body = b"".join(struct.pack("<2HLL", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<L", 108) + bytes(100) + struct.pack("<H", len(tags)) + body + bytes(4)


def lmdb_file(folder, count=40):
    lmdb = __import__("lmdb")
    with lmdb.open(str(folder), map_size=1 << 24) as env, env.begin(write=True) as writing:
        for i in range(count):
            writing.put(b"%05d" % i, encoded(noise(i, 48, 48)) if i % 2 else PNG)
    return (folder / "data.mdb").read_bytes()


def tables(folder):
    """Parquet and arrow files that unpack to far more than they hold, or whose places lead outside of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = {}

    def parquet(name, table, **options):
        pq.write_table(table, folder / name, **options)
        found[name] = (folder / name).read_bytes()

    zeros = bytes(1 << 20)
    parquet("same.parquet", pa.table({"image": [zeros] * 3000}), compression="zstd")
    parquet("blob.parquet", pa.table({"image": [bytes(600 << 20)]}), compression="zstd", use_dictionary=False)
    parquet("nulls.parquet", pa.table({"image": pa.nulls(20_000_000, pa.binary())}))
    words = pa.table({"image": [PNG] * 3000, "text": ["x" * (1 << 20)] * 3000})
    parquet("words.parquet", words, compression="zstd")
    table = pa.table({"image": [PNG, PNG], "label": [0, 1]})
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    good = stream.getvalue()
    at = good.index(struct.pack("<3i", 0, len(PNG), 2 * len(PNG)))
    found["places.arrow"] = _patched(good, at, struct.pack("<3i", 0, 1 << 30, 0x7FFFFFFF))
    found["negative.arrow"] = _patched(good, at, struct.pack("<3i", -(1 << 30), 5, 9))
    stream = io.BytesIO()
    blob = pa.table({"image": [bytes(500 << 20)]})
    with pa.ipc.new_stream(stream, blob.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(blob)
    found["packed.arrow"] = stream.getvalue()
    return found
