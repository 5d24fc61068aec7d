"""What ROME must reach on the demo base; the benchmark's exit code says whether it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "rome_atlas.py"


@pytest.mark.slow
def test_fifty_facts_reach_the_wanted_means():
    done = subprocess.run([sys.executable, str(BENCHMARK)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "50 facts, one package each" in done.stdout
