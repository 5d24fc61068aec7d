"""Commands a second of many processes that write to one registry, on SQLite and, where a server is, on PostgreSQL.

python tests/benchmarks/writers.py --writers 16 --seconds 60
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from crash.writers import GOOD, prepare, write_together
from postgresql_server import MISSING, running_server


def measure(name: str, writers: int, seconds: float) -> bool:
    """Print one row; whether every command ended well or busy."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), writers)
        tally = write_together(Path(folder), writers, seconds)
    n_commands = sum(tally.ended.values())
    n_else = n_commands - tally.ended["0"] - tally.ended["7"]
    print(
        f"{name:<12}{writers:>8}{tally.seconds:>9.0f}{n_commands:>10}{tally.ended['0']:>8}{tally.ended['7']:>8}"
        f"{n_else:>8}{tally.rate:>10.1f}"
        f"{tally.slowest_s:>11.2f}{tally.n_events:>9}",
        flush=True,
    )
    for text in tally.odd[:10]:
        print(f"  {text}")
    return set(tally.ended) <= GOOD


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    print(f"{'database':<12}{'writers':>8}{'seconds':>9}{'commands':>10}{'well':>8}{'busy':>8}{'else':>8}"
          f"{'well/s':>10}{'slowest s':>11}{'events':>9}")  # fmt: skip
    os.environ.pop("PATCHMGR_DATABASE_URL", None)
    good = [measure("SQLite", writers, given.seconds) for writers in sorted({1, given.writers})]
    with running_server() as server:
        if server is None:
            print(MISSING)
        for writers in sorted({1, given.writers}) if server else ():
            os.environ["PATCHMGR_DATABASE_URL"] = server.url(server.new_database())
            good.append(measure("PostgreSQL", writers, given.seconds))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
