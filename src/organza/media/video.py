"""Frames to a video: `.mp4` (H.264), `.gif` or `.webp`, written frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.progress import Progress
from organza.media.animation import write_gif, write_webp
from organza.media.images import Pixels, check_suffix, over_white, to_image

VIDEO_SUFFIXES = (".mp4", ".gif", ".webp")


def check_video(path: str | os.PathLike[str], fps: float) -> Path:
    """``path``, if a video of ``fps`` frames a second can be written there: worth asking before making the frames.

    Raises:
        UserError: unknown suffix, a rate that the format can't have, or a missing extra.

    Example:
        >>> check_video("loop.gif", 25).name
        'loop.gif'
    """
    path = check_suffix(path, VIDEO_SUFFIXES)
    suffix = path.suffix.lower()
    # Browsers show a frame of 10 ms and less for 100 ms; a GIF's can't stay for minutes.
    fastest = {".gif": 50, ".webp": 90, ".mp4": 240}[suffix]
    if not 0 < fps <= fastest or fps < 0.1:
        least = "0.1 or more" if 0 < fps < 0.1 else "more than 0"
        raise UserError(f"{fps:g} frames a second", where=path, hint=f"{suffix} takes {least} and at most {fastest}")
    if suffix == ".mp4":
        h264()
    return path


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Pixels],
    count: int,
    fps: float = 30,
    *,
    dither: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write ``count`` frames to ``path``, whole or not at all; memory does not grow with the length.

    Args:
        path: ``.mp4`` needs the extra ``video``; odd sizes are padded by a pixel there. ``.gif`` and ``.webp`` loop.
        frames: uint8 ``[H, W, C]``, all of one size; grey, RGB or RGBA (laid over white, but kept in ``.webp``).
        count: how many frames ``frames`` gives.
        fps: frames a second; at most 50 in ``.gif`` and 90 in ``.webp``, as browsers show faster ones slowly.
        dither: see `organza.media.animation.write_gif`.
        progress: called with frames done and ``count``.

    Returns:
        The path written.

    Raises:
        UserError: see `check_video`; or the file can't be written.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> frames = [np.full([16, 16, 3], 20 * i, np.uint8) for i in range(10)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Image.open(write_video(Path(folder, "fade.gif"), frames, len(frames), fps=10)) as film:
        ...         print(film.n_frames, film.info["duration"])
        10 100
    """
    path = check_video(path, fps)
    if count < 1:
        raise UserError("a video without frames", where=path, hint="make it longer")
    told = _told(frames, count, progress)
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".gif":
            write_gif(temporary, told, count, fps, dither=dither)
        elif path.suffix.lower() == ".webp":
            write_webp(temporary, told, fps)
        else:
            _write_mp4(temporary, told, fps)
    return path


def _told(frames: Iterable[Pixels], count: int, progress: Progress | None) -> Iterator[Pixels]:
    for index, frame in enumerate(islice(frames, count)):
        yield frame
        if progress is not None:
            progress(index + 1, count)


def h264() -> tuple[Any, str]:
    """PyAV and the name of its H.264 encoder.

    Raises:
        UserError: PyAV is missing, or has none.
    """
    try:
        import av
    except ImportError as error:
        what = ".mp4 needs the package PyAV"
        raise UserError(what, hint="pip install organza[video], or write .gif or .webp") from error
    for name in ("libx264", "libopenh264", "h264_videotoolbox"):
        if name in av.codecs_available:
            return av, name
    raise UserError("this PyAV has no H.264 encoder", hint="pip install --upgrade av, or write .gif or .webp")


def _write_mp4(path: Path, frames: Iterable[Pixels], fps: float) -> None:
    av, encoder = h264()
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = None
        for frame in frames:
            rgb = np.asarray(over_white(to_image(frame)).convert("RGB"))
            # Colour is stored for blocks of 2 x 2 pixels, so sides must be even.
            rgb = np.pad(rgb, [(0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)], mode="edge")
            if stream is None:
                stream = container.add_stream(encoder, rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = "yuv420p"
                if encoder == "libx264":
                    stream.options = {"crf": "16", "preset": "medium"}
            # Converted here: where the encoder does it, PyAV 18 gives other bytes about once in fifty videos.
            planes = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            for packet in stream.encode(planes):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
