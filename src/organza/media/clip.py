"""Videos as they come: frames upright, each at its time, and written again with times and sound as they were.

Reading never follows a playlist or an address: only containers of `FORMATS` are opened, and from the disk alone.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.media.images import Pixels, over_white, to_image
from organza.media.video import h264

CLIP_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv")
"""Files that are taken for videos."""
OUTPUT_SUFFIXES = (".mp4", ".mov", ".mkv")
"""Videos that are written with the times and the sound of another one."""
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf"
MOST_PIXELS = 2**26
"""Of a frame."""


@dataclass(frozen=True)
class Clip:
    """A video file.

    Attributes:
        path: where it lies.
        size: height and width of its frames, upright.
        fps: frames a second, on average.
        count: frames that the file says it has; 0 where it does not say.
        seconds: its length; 0 where it does not say.
        sound: whether it has any.
        turns: quarter turns, counterclockwise, by which its frames are stored lying.
    """

    path: Path
    size: tuple[int, int]
    fps: Fraction
    count: int
    seconds: float
    sound: bool
    turns: int = 0

    @property
    def expected(self) -> int:
        """Frames to reckon with; 0 where nobody knows."""
        return self.count or round(self.seconds * float(self.fps))


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        pixels: uint8 ``[H, W, 3]``, upright.
        time: when it is shown, in units of the clip.
        repeated: it could not be read: these are the pixels of the one before.
    """

    pixels: Pixels
    time: int
    repeated: bool = False


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named like a video.

    Example:
        >>> is_clip("holiday.MP4"), is_clip("photo.jpg")
        (True, False)
    """
    return Path(path).suffix.lower() in CLIP_SUFFIXES


def open_clip(path: str | os.PathLike[str]) -> Clip:
    """What a video is; of its frames only the first is read.

    Raises:
        UserError: it is none, has no frames or too large ones, or PyAV is missing.
    """
    where = user_path(path)
    with _opened(where) as (container, stream):
        height, width = stream.height, stream.width
        turns = _turns(next(_decoded(container, [stream]), None), where)
        seconds = 0.0 if container.duration is None else container.duration / 1_000_000
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        size = (width, height) if turns % 2 else (height, width)
        return Clip(where, size, Fraction(rate), stream.frames, seconds, bool(container.streams.audio), turns)


class Reading:
    """Frames of a clip, and its sound on the way to a `Writing`.

    Attributes:
        lost: frames that could not be read.
        shown: frames given so far, lost ones included.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.lost = self.shown = 0

    def frames(self, writing: Writing | None = None) -> Iterator[Frame]:
        """Every frame in the order of its time. Memory does not grow with the length.

        A frame that can't be read is the one before again; where there is none before, it is left out.

        Args:
            writing: takes the sound along.

        Raises:
            UserError: not one frame can be read.
        """
        last, latest = None, None
        due: list[tuple[int, int]] = []
        with _opened(self.clip.path) as (container, stream):
            if writing is not None:
                writing.start(container, stream, self.clip.turns)
            for found in _decoded(container, [stream], due, writing):
                if found.width * found.height > MOST_PIXELS:
                    raise UserError(f"a frame of {found.width}x{found.height} pixels", where=self.clip.path)
                time = (0 if latest is None else latest + 1) if found.pts is None else int(found.pts)
                if latest is not None and time <= latest:  # two frames at one time: files of cut streams have them
                    continue
                for missing in _lost(due, latest, time):
                    if last is not None:
                        self.lost += 1
                        self.shown += 1
                        yield Frame(last, missing, repeated=True)
                last, latest = _upright(found), time
                self.shown += 1
                yield Frame(last, time)
        if last is None:
            raise UserError("not one frame can be read", where=self.clip.path)


class Writing:
    """A video that is being written: frames at the times of another clip, and its sound.

    Args:
        path: where the file goes (a temporary one).
        kind: its container: mp4, mov or matroska.

    Attributes:
        silent: why the sound could not be taken along; None where it was, or where there is none.
    """

    def __init__(self, path: Path, kind: str) -> None:
        av, self._encoder = h264()
        options = {} if kind == "matroska" else {"movflags": "+faststart"}
        self._file: Any = av.open(str(path), "w", format=kind, options=options)
        self._video: Any = None
        self._size = (0, 0)
        self._unit, self._rate, self._aspect = Fraction(1, 90000), Fraction(25), None
        self._sound: Any = None
        self._waiting: list[Any] = []
        self.silent: str | None = None
        self.count = 0

    def start(self, container: Any, stream: Any, turns: int) -> None:
        """Take the units of time, and the sound's format, from a clip that is about to be read."""
        self._unit = Fraction(stream.time_base)
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self._aspect = None if turns % 2 else stream.sample_aspect_ratio
        if container.streams.audio:
            try:
                self._sound = self._file.add_stream_from_template(container.streams.audio[0])
            except Exception as error:  # PyAV has many ways to refuse a codec
                self.silent = f"{container.streams.audio[0].codec_context.name} does not fit into this file ({error})"

    def sound(self, packet: Any) -> None:
        """A packet of sound, as it was."""
        if self._sound is None or packet.dts is None:
            return
        packet.stream = self._sound
        if self._video is None:  # the header is written with the first frame
            self._waiting.append(packet)
        else:
            self._file.mux(packet)

    def frame(self, pixels: Pixels, time: int) -> None:
        """A frame, uint8 ``[H, W, C]``, at a time of the clip's.

        Raises:
            UserError: it has another size than those before.
        """
        import av

        rgb = np.asarray(over_white(to_image(pixels)).convert("RGB"))
        if self._video is None:
            self._begin(*rgb.shape[:2])
            for packet in self._waiting:
                self._file.mux(packet)
            self._waiting.clear()
        if rgb.shape[:2] != self._size:
            (height, width), (h, w) = self._size, rgb.shape[:2]
            raise UserError(f"a frame of {w}x{h} pixels after frames of {width}x{height}", hint="say --size HxW")
        planes = av.VideoFrame.from_ndarray(_even(rgb), format="rgb24").reformat(format="yuv420p")
        planes.pts, planes.time_base = time, self._unit
        for packet in self._video.encode(planes):
            self._file.mux(packet)
        self.count += 1

    def _begin(self, height: int, width: int) -> None:
        self._size = (height, width)
        self._video = self._file.add_stream(self._encoder, rate=self._rate.limit_denominator(1001))
        self._video.height, self._video.width = height + height % 2, width + width % 2
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = self._unit
        if self._aspect:
            self._video.codec_context.sample_aspect_ratio = self._aspect
        if self._encoder == "libx264":
            self._video.options = {"crf": "17", "preset": "medium"}

    def close(self) -> None:
        """Write what is still under way; a file with at least one frame is playable after it."""
        if self._video is not None:
            for packet in self._video.encode():
                self._file.mux(packet)
        self._file.close()


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Writing]:
    """A `Writing` whose file is there whole, or not at all; what an interrupt leaves is whole and ends earlier.

    Raises:
        UserError: an unknown suffix, or the file can't be written.
    """
    place = user_path(path)
    kind = {".mkv": "matroska"}.get(place.suffix.lower(), place.suffix.lower()[1:])
    interrupt: KeyboardInterrupt | None = None
    with atomic_write(place) as temporary:
        found = Writing(temporary, kind)
        try:
            yield found
        except KeyboardInterrupt as stop:
            if not found.count:
                raise
            interrupt = stop
        found.close()
    if interrupt is not None:
        raise interrupt


def _upright(frame: Any) -> Pixels:
    turns = round(frame.rotation / 90) % 4
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _turns(first: Any, where: Path) -> int:
    """Quarter turns of a clip whose first frame this is."""
    if first is None:
        raise UserError("not one frame can be read", where=where)
    return int(round(first.rotation / 90) % 4)


def _decoded(
    container: Any, streams: list[Any], due: list[tuple[int, int]] | None = None, writing: Writing | None = None
) -> Iterator[Any]:
    """Frames in the order of their times; the time and the length of each packet go to ``due``, a heap."""
    import av

    sound = container.streams.audio[0] if writing is not None and container.streams.audio else None
    packets = container.demux([*streams, sound] if sound is not None else streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):  # the end, perhaps in the midst of a packet
            return
        if sound is not None and packet.stream.index == sound.index:
            assert writing is not None
            writing.sound(packet)
            continue
        if packet.pts is not None and due is not None:
            heapq.heappush(due, (int(packet.pts), int(packet.duration or 0)))
        with suppress(av.error.FFmpegError):  # it is missed when the next frame comes
            yield from packet.decode()


def _lost(due: list[tuple[int, int]], latest: int | None, time: int) -> list[int]:
    """Times of packets between two frames that came to nothing, and left a hole. Some packets hold no frame to show."""
    found = []
    while due and due[0][0] <= time:
        start, length = heapq.heappop(due)
        if latest is not None and latest < start < time and time - latest > 1.5 * length:
            found.append(start)
    return found


def _even(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour is stored for blocks of 2x2 pixels, so sides must be even."""
    height, width = rgb.shape[:2]
    if height % 2 == width % 2 == 0:
        return rgb
    return np.pad(rgb, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A container and its video stream."""
    try:
        import av
    except ImportError as error:
        raise UserError("videos need the package PyAV", where=path, hint="pip install organza[video]") from error
    if not path.is_file():
        raise UserError("there is no such file" if not path.exists() else "is not a file", where=path)
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        container = av.open(str(path), options=options)
    except av.error.FFmpegError:
        raise UserError("is no video that can be read: cut off, or of another kind", where=path) from None
    with container:
        if not container.streams.video:
            heard = "only sound is in it" if container.streams.audio else "nothing is in it"
            raise UserError(f"has no frames: {heard}", where=path)
        stream = container.streams.video[0]
        if not 0 < stream.width * stream.height <= MOST_PIXELS:
            raise UserError(f"frames of {stream.width}x{stream.height} pixels", where=path)
        stream.thread_type = "AUTO"
        yield container, stream
