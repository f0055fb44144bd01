"""Every benchmark in turn: `make bench`. Run it on an idle machine, and compare ratios of one invocation only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for script in ("step.py", "data.py", "metrics.py"):
    print(f"== {script}", flush=True)
    subprocess.run([sys.executable, str(Path(__file__).with_name(script))], check=False)
