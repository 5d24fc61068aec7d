"""Make ``docs/demo.svg``, the picture in the README, from what ``patchmgr demo`` really prints.

python docs/picture.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 108
STORY_END = "# And who did all that?"


def main() -> None:
    code = "import sys; sys.argv = ['patchmgr', 'demo', '-q']; from patchmgr.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    console = Console(record=True, width=WIDTH, file=Path("/dev/null").open("w"))  # noqa: SIM115
    for line in done.stdout.split(STORY_END)[0].strip().splitlines():
        console.print(styled(line))
    target = Path(__file__).parent / "demo.svg"
    svg = console.export_svg(title="patchmgr demo")
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S), encoding="utf-8")  # no remote fonts


def styled(line: str) -> Text:
    """Comments, prompts and the two answers stand out."""
    if line.startswith("#") and not line.startswith("#  "):
        return Text(line, style="cyan")
    if line.startswith("$"):
        return Text.assemble(("$ ", "green"), (line[2:], "bold"))
    if line.startswith(("base: ", "now:  ")):
        return Text(line, style="yellow")
    return Text(line)


if __name__ == "__main__":
    main()
