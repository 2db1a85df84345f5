"""``python3 -m pip install -e .`` as PointRend's document has it: what this project needs, as for IntraDA."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parents[1] / "IntraDA/ADVENT/setup.py"))
