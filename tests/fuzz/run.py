"""Feed one reader many inputs in a process of its own, whose memory, time and writing are bounded.

    python tests/fuzz/run.py READER --inputs 20000 --seed 1
    python tests/fuzz/run.py READER --inputs 20000 --guided     # coverage-guided, with atheris

It ends with 0 and one line of counts, or with 1, the input's base64 and its traceback.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 20
"""Within which an input is read; far more than any needs, for machines are busy."""
MORE_MEMORY_BYTES = 1 << 30
"""That reading may take beyond what the imports have taken."""

sys.path.insert(0, str(Path(__file__).parents[1]))


class WroteElsewhereError(BaseException):
    """A file was opened for writing, made, moved or removed outside the folder of the run."""


def watch_writing(allowed: Path) -> Callable[[], None]:
    """Refuse, from now on, whatever changes a file outside this folder; the call to end that."""
    inside, ended = os.path.realpath(allowed), threading.Event()

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if ended.is_set():
            return
        if event == "open":
            path, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else bool(mode) and mode[0] in "wax"
            places = [path] if writes else []
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate"):
            places = [arguments[0]]
        elif event in ("os.rename", "os.link", "os.symlink"):
            places = list(arguments[:2])
        elif event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "socket.connect", "pty.spawn"):
            raise WroteElsewhereError(f"{event} {arguments!r}")
        else:
            return
        for place in places:
            if isinstance(place, str | bytes | os.PathLike):
                real = os.path.realpath(os.fsdecode(place))
                if not real.startswith(inside + os.sep) and real not in (inside, "/dev/null"):
                    raise WroteElsewhereError(f"{event} {real}")

    sys.addaudithook(refuse)
    return ended.set


def check_beside(root: Path, outer: Path) -> None:
    """Nothing lies in the folders around that of the run: what libraries write in C is seen here only."""
    inside = root
    while inside != outer:
        found = {path.name for path in inside.parent.iterdir()} - {inside.name}
        if found:
            raise WroteElsewhereError(f"{min(found)} in {inside.parent}")
        inside = inside.parent


def bound(folder: Path) -> Callable[[], None]:
    """Bound memory, time of an input, the size of files, and where they are written; the call to end the last."""
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (virtual + MORE_MEMORY_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, resource.RLIM_INFINITY))

    def too_long(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"an input took more than {SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    return watch_writing(folder)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("reader")
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true")
    given = parser.parse_args()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a database syncs often
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as name:
        root = Path(name) / "a" / "b" / "c" / "root"
        root.mkdir(parents=True)
        return _run(given, root, Path(name))


def _run(given: argparse.Namespace, root: Path, outer: Path) -> int:
    if given.guided:
        import atheris

        with atheris.instrument_imports(include=["patchmgr", "patchmgr_registry"]):
            from fuzz.readers import READERS
    else:
        from fuzz.readers import READERS
    from patchmgr.errors import PatchmgrError

    os.environ.update(HOME=str(root), XDG_CONFIG_HOME=str(root / "config"), XDG_CACHE_HOME=str(root / "cache"))
    os.environ.pop("PATCHMGR_HOME", None)
    os.environ["TMPDIR"] = os.environ["SQLITE_TMPDIR"] = str(root)
    tempfile.tempdir = str(root)
    folder, seeds, counts = root / "work", root / "seeds", Counter[str]()
    folder.mkdir()
    seeds.mkdir()
    os.chdir(root)
    reader = READERS[given.reader]
    whole = reader.seeds(seeds)
    for seed in whole:
        reader.read(seed, folder)  # what is whole is read; and everything is imported
    unbound = bound(root)

    def feed(data: bytes) -> None:
        signal.alarm(SECONDS)
        try:
            reader.read(data, folder)
            counts["read"] += 1
        except PatchmgrError as error:
            counts["refused"] += 1
            assert error.message
        finally:
            signal.alarm(0)
            check_beside(root, outer)

    def feed_or_tell(data: bytes) -> None:
        try:
            feed(data)
        except BaseException:
            sys.stdout.write(f"{given.reader}: {base64.b64encode(data).decode()[:20000]}\n")
            sys.stdout.write("".join(traceback.format_exc()[-6000:]))
            sys.stdout.flush()
            if given.guided:
                os._exit(1)
            raise SystemExit(1) from None

    try:
        if given.guided:
            _guided(given, root, whole, reader, feed_or_tell, counts)
        else:
            rng = random.Random(given.seed)
            for _ in range(given.inputs):
                feed_or_tell(reader.mutation(rng, whole))
    finally:
        unbound()
    sys.stdout.write(
        f"{given.reader}: {sum(counts.values())} inputs, {counts['read']} read, {counts['refused']} refused\n"
    )
    return 0


def _guided(given: argparse.Namespace, root: Path, whole: Any, reader: Any, feed: Any, counts: Any) -> None:
    import atheris

    corpus = root / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(whole):
        (corpus / str(number)).write_bytes(seed)

    def custom(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            return atheris.Mutate(data, most)
        return reader.mutation(rng, [data or whole[0]])[:most]

    def counted(data: bytes) -> None:
        feed(data)
        if sum(counts.values()) == given.inputs:  # the engine ends the process without a word
            sys.stdout.write(f"{given.reader}: {given.inputs} inputs, guided, {counts['read']} read\n")
            sys.stdout.flush()

    words = [f"-runs={given.inputs + 10}", f"-seed={given.seed + 1}", f"-max_len={1 << 20}"]
    words += ["-rss_limit_mb=0", "-timeout=60", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(corpus), *words], counted, custom_mutator=custom)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
