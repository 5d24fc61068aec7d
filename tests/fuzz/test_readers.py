"""Whatever a file holds, its reader gives a value or says in words what is wrong with it.

Here a few hundred inputs a reader; ``make fuzz`` feeds each 20,000, and as many again guided by coverage.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.readers import READERS
from patchmgr.errors import PatchmgrError

INPUTS = {"database": 60, "backup": 20}
"""Where it is not 300: each input is a database that is opened anew, or a whole backup that is restored."""
RUN = Path(__file__).with_name("run.py")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The whole inputs of every reader, and a folder to read in."""
    root = tmp_path_factory.mktemp("fuzz")
    (root / "work").mkdir()
    (root / "seeds").mkdir()
    return {name: reader.seeds(root / "seeds") for name, reader in READERS.items()}, root / "work"


@pytest.mark.parametrize("name", READERS)
def test_what_is_whole_is_read(name, whole):
    seeds, folder = whole
    for seed in seeds[name]:
        READERS[name].read(seed, folder)


@pytest.mark.parametrize("name", READERS)
def test_every_input_gives_a_value_or_a_reason(name, whole, monkeypatch):
    monkeypatch.delenv("PATCHMGR_HOME")
    seeds, folder = whole
    reader = READERS[name]

    @settings(
        max_examples=INPUTS.get(name, 300), derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )  # fmt: skip
    @given(st.randoms(use_true_random=True))
    def law(rng):
        try:
            reader.read(reader.mutation(rng, seeds[name]), folder)
        except PatchmgrError as error:
            assert error.message

    law()


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("guided", [False, True], ids=["random", "guided"])
@pytest.mark.parametrize("name", READERS)
def test_twenty_thousand_inputs_within_bounded_memory_and_time_write_nothing_elsewhere(name, guided):
    if guided and importlib.util.find_spec("atheris") is None:
        pytest.skip("no atheris: pip install patchmgr[fuzz]")  # has wheels for few platforms; the random runs go on
    n_inputs = int(os.environ.get("FUZZ_INPUTS", "20000"))
    words = [sys.executable, str(RUN), name, "--inputs", str(n_inputs), *(["--guided"] if guided else [])]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    assert f"{name}: " in done.stdout
    assert int(done.stdout.rpartition(f"{name}: ")[2].split()[0]) >= n_inputs
