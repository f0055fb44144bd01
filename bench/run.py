"""Every benchmark in turn: `make bench`. Run it on an idle machine, and compare ratios of one invocation only.

python bench/run.py            # training steps, cost along each axis, generation, data: about 20 minutes
python bench/run.py --full     # costs along longer axes and in every mode
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for script in ("step.py", "costs.py", "generate.py", "data.py", "metrics.py"):
    print(f"== {script}", flush=True)
    more = sys.argv[1:] if script == "costs.py" else []
    subprocess.run([sys.executable, str(Path(__file__).with_name(script)), *more], check=False)
