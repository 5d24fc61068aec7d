"""How long reading commands take, against an empty Typer program started the same way.

python tests/benchmarks/startup.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

EMPTY = """
import typer
app = typer.Typer()
@app.command()
def main(name: str = "x", json: bool = False) -> None: ...
app()
"""
REAL = "import sys; sys.argv = ['patchmgr', *sys.argv[1:]]; from patchmgr.cli.main import main; main()"
ROUNDS = 15


def best(code: str, words: tuple[str, ...], environment: dict[str, str]) -> float:
    """The shortest of several runs, in seconds; the interpreter's own start is part of it."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, env=environment)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PATCHMGR_HOME": home}
        subprocess.run([sys.executable, "-c", REAL, "model", "add", "atlas", "demo:atlas"], check=True, env=environment)
        empty = best(EMPTY, (), environment)
        print(f"{'empty Typer program':<24}{empty:>8.3f} s")
        for words in (("--help",), ("list",), ("status",), ("status", "atlas")):
            seconds = best(REAL, words, environment)
            print(f"{'patchmgr ' + ' '.join(words):<24}{seconds:>8.3f} s{seconds / empty:>8.2f} x")


if __name__ == "__main__":
    main()
