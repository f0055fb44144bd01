"""organza interpolate: a seamless video through seeds or saved w's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from organza.cli.parse import parse, parse_grid, parse_seeds
from organza.cli.progress import progress_bar
from organza.cli.record import record
from organza.cli.shared import Drawing
from organza.core.ranges import Positive
from organza.core.text import say

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Options(Drawing):
    """Make a seamless video that passes from seed to seed and back to the first."""

    seeds: str = "0-5"
    """Keyframes, as seeds and ranges: 1,5,9,13. With enough of them, each cell of the grid has its own; otherwise each
    cell takes the same plus 1000, plus 2000 ..."""
    w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Keyframes are the w's in this file instead."""
    grid: Annotated[str, tyro.conf.arg(metavar="3x2")] = "1x1"
    """Videos side by side, columns x rows: 3x2."""
    seconds: Annotated[Positive | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Length of the loop: without it 8, or as long as --audio."""
    fps: Positive = 30.0
    """Frames a second; at most 50 in a .gif, 90 in a .webp."""
    space: Literal["w", "z"] = "w"
    """w: through the keyframes' w. z: great circles between their z."""
    curve: Literal["cubic", "linear"] = "cubic"
    """Through w: smoothly, or straight from key to key."""
    audio: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Move as fast as this sound is loud; an .mp4 plays it."""
    output: Path = Path("out/loop.mp4")
    """The video: .mp4, .gif or .webp."""
    flat: bool = False
    """Leave the dither pattern out of a .gif: flat areas show steps, and the file is smaller."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the video is."""
    options = parse(Options, argv, "organza interpolate")
    seeds: Sequence[int] | Tensor = parse_seeds(options.seeds)
    sampling, grid = options.sampling, parse_grid(options.grid)
    # After parsing: PyTorch takes seconds to import.
    from organza.media.video import check_video
    from organza.models.load import load_generator
    from organza.studio.codes import load_codes
    from organza.studio.interpolate import interpolate, plan

    check_video(options.output, options.fps)
    if options.w is None and (note := plan(parse_seeds(options.seeds), grid[0] * grid[1]).note):
        say(f"organza: {note}", error=True)
    G = load_generator(options.network, device=options.device, precision=options.precision)
    if options.w is not None:
        seeds = load_codes(options.w, G)
    with progress_bar("generating", "frames") as progress:
        path = interpolate(
            G,
            seeds,
            options.output,
            grid=grid,
            seconds=options.seconds,
            fps=options.fps,
            space=options.space,
            curve=options.curve,
            audio=options.audio,
            sampling=sampling,
            scale=options.scale,
            dither=not options.flat,
            progress=progress,
        )
    inputs = {"--network": G.source, "--w": options.w, "--audio": options.audio}
    record("interpolate", argv, path, inputs=inputs, changes=["--precision", G.precision])
    say(path)
    return 0
