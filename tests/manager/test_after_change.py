"""Hooks after a change: real programs and a real server; what they are told, how they fail, and what follows."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from patchmgr.manager.after_change import Change, ChangedPackage, run_after_change
from patchmgr.manager.change_hook import ChangeHook
from patchmgr.manager.progress import silent
from patchmgr.manager.settings import Settings

CHANGE = Change(
    action="apply", model="prod", generation=4, folder=Path("/g/4"), state_root="b" * 64, previous_generation=3,
    previous_folder=Path("/g/3"), previous_state_root="a" * 64,
    packages=(ChangedPackage("fact-fixes@v3", "d" * 64), ChangedPackage("größe@v1", "e" * 64)), message="größer",
)  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """``run(hook, …)``: what failed of these hooks after ``CHANGE``."""

    def runner(*hooks: ChangeHook, change: Change = CHANGE) -> tuple[str, ...]:
        settings = Settings(home=tmp_path, database_url=None, actor="ann", after_change=hooks)
        return tuple(map(str, run_after_change(settings, change, silent)))

    return runner


@pytest.fixture
def server(monkeypatch):
    """A server on this machine: ``server.answers`` is what it says, ``server.seen`` what it was asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.seen.append((self.command, self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.server.answers.pop(0)(self)

        def do_GET(self):
            self.server.seen.append((self.command, self.path, b""))
            self.server.answers.pop(0)(self)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answers, server.over = [], [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def says(status: int, text: str = "", **headers: str):
    """An answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def drips(handler: BaseHTTPRequestHandler) -> None:
    """An answer that never ends and is never silent for long."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    while not handler.server.over.wait(0.05):
        try:
            handler.wfile.write(b"x")
        except OSError:
            return


def python(code: str, **settings) -> ChangeHook:
    """A hook that is a Python program."""
    return ChangeHook(command=(sys.executable, "-c", code), **settings)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def dies(pid: int, within_s: float = 20) -> bool:
    """Whether a process is gone; the kernel takes its time to end a grandchild that was killed."""
    over = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < over:
        time.sleep(0.02)
    return not lives(pid)


# Programs


def test_a_program_gets_the_whole_change_on_stdin_and_in_its_environment(run, tmp_path):
    told = tmp_path / "told.json"
    code = (
        "import json, os, sys; given = json.load(sys.stdin); here = os.getcwd();"
        "names = {k: v for k, v in os.environ.items() if k.startswith('PATCHMGR_')};"
        f"json.dump([given, names, here], open({str(told)!r}, 'w'))"
    )
    assert run(python(code)) == ()
    given, names, folder = json.loads(told.read_text())
    assert given == {
        "schema_version": 1, "action": "apply", "model": "prod", "generation": 4, "folder": "/g/4",
        "state_root": "b" * 64, "previous_generation": 3, "previous_folder": "/g/3", "previous_state_root": "a" * 64,
        "packages": [
            {"reference": "fact-fixes@v3", "digest": "d" * 64}, {"reference": "größe@v1", "digest": "e" * 64},
        ],
        "message": "größer",
    }  # fmt: skip
    assert names == {
        "PATCHMGR_ACTION": "apply", "PATCHMGR_MODEL": "prod", "PATCHMGR_GENERATION": "4", "PATCHMGR_FOLDER": "/g/4",
        "PATCHMGR_STATE_ROOT": "b" * 64, "PATCHMGR_PREVIOUS_GENERATION": "3", "PATCHMGR_PREVIOUS_FOLDER": "/g/3",
        "PATCHMGR_HOME": str(tmp_path), "PATCHMGR_ACTOR": "ann", "PATCHMGR_AFTER_CHANGE": "none",
    }  # fmt: skip
    assert folder == str(tmp_path)


def test_a_program_that_does_not_read_a_large_change_is_not_waited_for(run):
    many = tuple(ChangedPackage(f"package-{n}@v1", "d" * 64) for n in range(5000))
    assert run(python("pass"), change=replace(CHANGE, packages=many)) == ()


def test_no_shell_reads_a_command(run, tmp_path):
    assert run(ChangeHook(command=("true", ";", "touch", str(tmp_path / "made"), "$HOME", ">x"))) == ()
    assert list(tmp_path.iterdir()) == []


def test_what_a_program_says_goes_to_stderr_and_its_end_into_the_error(run, capfd):
    code = "print('out'); import sys; print('one\\n\\x1b[31mtwo', 'three\\nfour', sep='\\n', file=sys.stderr); exit(7)"
    (failed,) = run(ChangeHook(command=(sys.executable, "-u", "-c", code)))
    assert failed == f"{Path(sys.executable).name} failed: exit status 7, and said: two / three / four"
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[:2] == ["out", "one"]


def test_a_program_that_is_missing_or_must_not_run_is_named(run, tmp_path):
    assert run(ChangeHook(command=("no-such-program",))) == (
        "no-such-program failed: it cannot be started: No such file or directory: no-such-program",
    )
    (tmp_path / "plain").write_text("x")
    (failed,) = run(ChangeHook(command=(str(tmp_path / "plain"),)))
    assert "Permission denied" in failed


def test_a_program_that_a_signal_ends_has_failed(run):
    (failed,) = run(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert failed.endswith("failed: ended by SIGKILL")


def test_a_timeout_stops_a_program_with_its_children_even_deaf_ones(run, tmp_path):
    pids = tmp_path / "pids"
    script = f"""(trap '' TERM; exec sleep 99) & echo $$ $! >{pids}; wait"""
    (failed,) = run(ChangeHook(command=("sh", "-c", script), timeout_s=2))
    assert failed == "sh failed: it did not end within 2 s and was stopped"
    assert all(dies(int(pid)) for pid in pids.read_text().split())


def test_ctrl_c_stops_the_program(run, tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(99)"

    def press(wait, timeout):
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("subprocess.Popen.wait", press)
    with pytest.raises(KeyboardInterrupt):
        run(python(code))
    assert not lives(int(pid.read_text()))


def test_a_server_that_a_program_leaves_running_is_left_running(run, tmp_path, monkeypatch):
    monkeypatch.setattr("patchmgr.manager.call_hook.GRACE_S", 0.1)
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)']);"
        f"open({str(pid)!r}, 'w').write(str(child.pid))"
    )
    assert run(python(code)) == ()
    left = int(pid.read_text())
    assert lives(left)
    os.kill(left, 9)


# URLs


def test_a_url_is_posted_the_change(run, server):
    server.answers = [says(204)]
    assert run(ChangeHook(url=f"{server.url}/reload?key=x")) == ()
    ((method, path, body),) = server.seen
    assert (method, path, json.loads(body)["packages"][1]["reference"]) == ("POST", "/reload?key=x", "größe@v1")


def test_a_health_page_is_asked_with_get(run, server):
    server.answers = [says(200)]
    assert run(ChangeHook(url=f"{server.url}/health", method="GET")) == ()
    assert server.seen == [("GET", "/health", b"")]


def test_an_answer_other_than_2xx_is_a_failure_without_the_query(run, server):
    server.answers = [says(500, "out of\nmemory")]
    assert run(ChangeHook(url=f"{server.url}/reload?key=x")) == (
        f"{server.url}/reload failed: it answered 500 Internal Server Error, and said: out of / memory",
    )


def test_a_redirect_is_not_followed(run, server):
    server.answers = [says(302, Location=f"{server.url}/elsewhere"), says(200)]
    (failed,) = run(ChangeHook(url=server.url, method="GET"))
    assert "it answered 302" in failed
    assert len(server.seen) == 1


def test_a_server_that_is_not_there_is_a_failure(run, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (failed,) = run(ChangeHook(url=f"http://127.0.0.1:{port}/"))
    assert "it cannot be reached: " in failed
    assert "refused" in failed


@pytest.mark.parametrize("answer", [drips, lambda handler: handler.server.over.wait(20)])
def test_a_server_that_is_too_slow_is_a_failure(run, server, answer):
    server.answers = [answer]
    assert run(ChangeHook(url=server.url, timeout_s=0.3)) == (f"{server.url} failed: no answer within 0.3 s",)


# Which, in what order, how often


def test_hooks_are_called_in_order_for_the_models_that_they_name(run, server):
    server.answers = [says(200)] * 3
    hooks = [("/1", ()), ("/2", ("test", "pro?")), ("/3", ("test",)), ("/4", ("p*",))]
    assert run(*(ChangeHook(url=server.url + path, models=models) for path, models in hooks)) == ()
    assert [path for _, path, _ in server.seen] == ["/1", "/2", "/4"]


def test_a_failure_that_is_only_reported_does_not_disarm_the_next_check(run, server):
    server.answers = [says(500), says(500)]
    failed = run(
        ChangeHook(url=f"{server.url}/chat", on_failure="report"),
        ChangeHook(url=f"{server.url}/check"),
        ChangeHook(url=f"{server.url}/never"),
    )
    assert [text.partition(" ")[0] for text in failed] == [f"{server.url}/chat", f"{server.url}/check"]
    assert len(server.seen) == 2


def test_a_check_may_wait_for_a_server_that_starts(run, server):
    server.answers = [says(503), says(503), says(200)]
    assert run(ChangeHook(url=server.url, retries=3, retry_every_s=0.01)) == ()
    server.answers = [says(503)] * 2
    (failed,) = run(ChangeHook(url=server.url, retries=1, retry_every_s=0.01))
    assert "503 Service Unavailable (2 attempts)" in failed
    assert len(server.seen) == 5


def test_a_hook_sees_the_registry_and_calls_no_hooks_itself(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHMGR_AFTER_CHANGE", "touch endless")
    code = "from patchmgr.manager.settings import load_settings as s; print(s().home, s().after_change); exit(1)"
    (failed,) = run(python(code))
    assert failed.endswith(f"and said: {tmp_path} ()")
