"""Draw docs/images/rooms.png from the imports: rooms on their floors, an arrow for each room that another uses.

    python tools/rooms.py

`tests/test_floors.py` holds that no arrow goes up and that nothing goes round in a circle.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.test_floors import FLOORS, MODULES, imported, room  # noqa: E402

OURS = sorted(MODULES.keys() - {"organza"})
SIZE = (1.15, 0.52)
COLOURS = plt.get_cmap("tab10")


def arrows() -> Counter[tuple[str, str]]:
    """(room, room that it uses) -> how many of its files do."""
    pairs = ((room(module), other) for module in OURS for other in {room(name) for name in imported(module)})
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def draw(path: Path) -> None:
    """The figure."""
    files = Counter(map(room, OURS))
    floors = [[name for name in floor if files[name]] for floor in FLOORS]
    places = {
        name: ((index + 1) / (len(floor) + 1) * 8 + (0.35 if number % 2 else -0.35) * (len(floor) == 1), number)
        for number, floor in enumerate(floors)
        for index, name in enumerate(floor)
    }
    figure, axes = plt.subplots(figsize=(10, 8))
    for (user, used), count in arrows().items():
        (x, y), (to_x, to_y) = places[user], places[used]
        level = y == to_y
        side = (SIZE[0] if to_x > x else -SIZE[0]) / 2
        ends = ((x + side, y), (to_x - side, to_y)) if level else ((x, y - SIZE[1] / 2), (to_x, to_y + SIZE[1] / 2))
        bend = 0.0 if level or y - to_y == 1 else 0.12 * (1 if to_x <= x else -1)
        look = {"arrowstyle": "-|>", "mutation_scale": 9, "connectionstyle": f"arc3,rad={bend}"}
        colour = COLOURS(FLOORS.index(next(floor for floor in FLOORS if user in floor)) % 10)
        axes.add_patch(FancyArrowPatch(*ends, **look, lw=0.6 + min(count, 20) / 12, color=colour, alpha=0.45))
    for name, (x, y) in places.items():
        corner = (x - SIZE[0] / 2, y - SIZE[1] / 2)
        box = FancyBboxPatch(corner, *SIZE, boxstyle="round,pad=0.02", fc="#f3f6fa", ec="#41597a", zorder=3)
        axes.add_patch(box)
        axes.text(x, y + 0.06, name, ha="center", va="center", fontsize=11, zorder=4)
        axes.text(x, y - 0.16, f"{files[name]} files", ha="center", va="center", fontsize=7, color="#66788f", zorder=4)
    axes.set(xlim=(0, 8), ylim=(-0.6, len(floors) - 0.4))
    axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    target = ROOT / "docs" / "images" / "rooms.png"
    draw(target)
    print(target)
