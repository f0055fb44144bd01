"""Sound that drives a video: loud passages move fast through latent space, quiet ones slowly."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path

RATE = 8000
"""Samples a second at which loudness is measured: enough for what is heard as loud."""
QUIET = 0.25
"""Speed in silence; the loudest moment has speed 1. A video that stood still would look broken."""


def _av(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError("sound needs the package PyAV", where=path, hint="pip install organza[video]") from error
    return av


@dataclass(frozen=True)
class Sound:
    """A mono signal ``samples [N]`` in [-1, 1] at `RATE` samples a second."""

    samples: NDArray[np.float32]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Sound:
        """Decode any file with sound that FFmpeg knows: ``.wav``, ``.mp3``, ``.flac``, ``.mp4`` ...

        Raises:
            UserError: no such file, no sound in it, or PyAV is missing.
        """
        path = user_path(path)
        if not path.is_file():
            raise UserError("does not exist", where=path, hint="give a file with sound")
        av = _av(path)
        try:
            with av.open(str(path)) as container:
                resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
                frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
                frames += resampler.resample(None)
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise UserError("holds no sound that can be read", where=path, hint="give a .wav or .mp3") from error
        samples = np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray().ravel() for frame in frames)])
        if len(samples) < RATE // 10:
            raise UserError("is too short to drive a video", where=path, hint="give a tenth of a second at least")
        return cls(samples)

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / RATE

    def loudness(self, count: int, fps: float) -> NDArray[np.float64]:
        """Root mean square of each of ``count`` frames, over a quarter of a second around it, the loudest being 1.

        Silence all through is 1 as well. Where the video is longer, the sound begins again.
        """
        energy = np.cumsum(np.concatenate([[0.0], self.samples.astype(np.float64) ** 2]))
        middle = (np.arange(count) + 0.5) / fps % self.seconds
        low = np.clip(((middle - 0.125) * RATE).astype(int), 0, len(self.samples) - 1)
        high = np.clip(((middle + 0.125) * RATE).astype(int), low + 1, len(self.samples))
        rms: NDArray[np.float64] = np.sqrt((energy[high] - energy[low]).clip(0) / (high - low))
        return rms / rms.max() if rms.max() > 1e-6 else np.ones(count)

    def places(self, count: int, fps: float) -> NDArray[np.float64]:
        """Where in the loop each of ``count`` frames is, from 0 to 1: the way made so far at the loudness's speed.

        The video is still a loop: the step from the last frame to the first is as the last frame is loud.

        Example:
            >>> Sound(np.repeat(np.float32([0, 1]), RATE)).places(4, 2).round(2).tolist()
            [0.0, 0.1, 0.2, 0.6]
        """
        speed = QUIET + (1 - QUIET) * self.loudness(count, fps)
        way = np.concatenate([[0.0], np.cumsum(speed)])
        places: NDArray[np.float64] = way[:-1] / way[-1]
        return places


@contextmanager
def with_sound(path: Path, audio: str | os.PathLike[str], seconds: float) -> Iterator[Path]:
    """Give a path for a silent ``.mp4``; when the block ends well, ``path`` is that video with ``audio`` as AAC.

    Raises:
        UserError: ``path`` can't be written.
    """
    av = _av(path)
    silent = path.with_name(f".{path.stem[:100]}.silent.mp4")
    try:
        yield silent
        with (
            atomic_write(path) as temporary,
            av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as out,
            av.open(str(silent)) as film,
            av.open(os.fspath(audio)) as sound,
        ):
            pictures = out.add_stream_from_template(film.streams.video[0])
            heard = out.add_stream("aac", rate=44100)
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=44100, frame_size=1024)
            for packet in film.demux(video=0):
                if packet.dts is not None:
                    packet.stream = pictures
                    out.mux(packet)
            left = math.ceil(seconds * 44100 / 1024)
            for frame in sound.decode(audio=0):
                for part in resampler.resample(frame):
                    if left > 0:
                        out.mux(heard.encode(part))
                        left -= 1
            out.mux(heard.encode(None))
    finally:
        silent.unlink(missing_ok=True)
