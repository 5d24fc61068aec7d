"""Every command lies where the table says, and calling one loads no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from patchmgr.cli import commands
from patchmgr.cli.main import build_app

CLI = Path(commands.__file__).parent


@pytest.mark.parametrize("name", [*commands.COMMANDS, *commands.GROUPS])
def test_one_command_alone_is_the_same_as_among_all(name):
    alone = typer.main.get_command(build_app(name)).commands
    assert list(alone) == [name]
    among = typer.main.get_command(build_app()).commands[name]
    assert [option.opts for option in alone[name].params] == [option.opts for option in among.params]


def test_a_call_loads_the_file_of_its_command_and_of_no_other():
    script = (
        "import sys; from patchmgr.cli.main import main; sys.argv = ['patchmgr', 'list']\n"
        "try:\n    main()\nfinally:\n    print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("patchmgr.cli.") for name in done.stdout.split() if name.startswith("patchmgr.cli.")}
    files = {file.partition(":")[0] for file in commands.COMMANDS.values()} | set(commands.GROUPS)
    assert loaded & files == {"listing"}
