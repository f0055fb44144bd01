"""A small valid file for each reader: what mutations start from."""

import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from data_helpers import BAD, encoded, noise, write_zip
from hostile import lmdb_file, npy_of, npz, tarred
from test_idx import DIGITS, idx
from test_readers import binary_batches, python_batches, write_tar

from organza.data import tfrecord

KINDS = {"PNG": {}, "JPEG": {}, "WEBP": {}, "GIF": {}, "BMP": {}, "TIFF": {}, "PPM": {}}


def _seeds():
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        entries = {f"a/{kind}": encoded(noise(i), kind, **more) for i, (kind, more) in enumerate(KINDS.items())}
        labels = json.dumps({"labels": [[name, i % 2] for i, name in enumerate(entries)]}).encode()
        beside = {"a/PNG.cls": b"1", "a/PNG.txt": b"words", "a/GIF.json": b'{"label": 0}'}
        found = {
            "stored.zip": write_zip(folder / "s.zip", {**entries, "dataset.json": labels}, 0).read_bytes(),
            "packed.zip": write_zip(folder / "d.zip", {**entries, "dataset.json": labels}).read_bytes(),
            "set.tar": tarred({**entries, **beside, "dataset.json": labels}),
            "set.tar.xz": write_tar(folder / "x.tar.xz", entries, "w:xz").read_bytes(),
            "cifar.tar.gz": write_tar(folder / "c.tar.gz", binary_batches(), "w:gz").read_bytes(),
            "pickled.tar": write_tar(folder / "p.tar", python_batches()).read_bytes(),
            "photo.png": encoded(noise(0, 32, 32)),
            "photo.jpg": encoded(noise(0, 32, 32), "JPEG"),
            "official.zip": (BAD / "good" / "dataset_int_6.zip").read_bytes(),
            "train-images-idx3-ubyte": idx(DIGITS),
            "array.npy": npy_of(np.stack([noise(i) for i in range(4)])),
            "packed.npz": npz(images=np.stack([noise(i) for i in range(4)]), labels=np.arange(4)),
            "floats.npz": npz(False, arr_0=np.linspace(-1, 1, 4 * 64, dtype=np.float32).reshape(4, 1, 8, 8)),
        }
        pixels = np.stack([noise(i).transpose(2, 0, 1) for i in range(3)])
        found["x.tfrecords"] = b"".join(tfrecord.frames(tfrecord.examples(pixels)))
        with suppress(ImportError):
            found["data.mdb"] = lmdb_file(folder / "lmdb", 12)
        with suppress(ImportError):
            found |= _tables(entries)
    return found


def _tables(entries):
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": data, "path": name} for name, data in entries.items()]
    table = pa.table({"image": images, "label": list(range(len(images))), "text": list(entries)})
    found = {}
    for name, options in {"snappy.parquet": {}, "zstd.parquet": {"compression": "zstd", "row_group_size": 3}}.items():
        file = io.BytesIO()
        pq.write_table(table, file, **options)
        found[name] = file.getvalue()
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return found | {"stream.arrow": file.getvalue()}


SEEDS = _seeds()
