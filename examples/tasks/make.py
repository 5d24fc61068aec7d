"""Write the edits of one of SERAC's four tasks: `python examples/tasks/make.py --task qa --out DIR`.

DIR gets `training.jsonl`, `validation.jsonl` and `test.jsonl`, requests that `patchmgr edit` and `patchmgr train` read;
for ConvSent `test-replies.jsonl` as well, to measure with. The same seed writes the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from patchmgr.request import dump_requests, parse_request

import claims
import hard_questions
import opinions
import questions
from parts import PARTS, Part, Request

TASKS: dict[str, Callable[[Part, int], list[Request]]] = {
    "qa": questions.requests,
    "qa-hard": hard_questions.requests,
    "fc": claims.requests,
    "convsent": opinions.requests,
}


def main() -> None:
    """Parse, generate, write."""
    parser = argparse.ArgumentParser(description="The edits of one of SERAC's four tasks.")
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=7, help="decides which facts are edited, and to what")
    given = parser.parse_args()
    for name, requests in files(given.task, given.seed).items():
        _write(given.out / name, requests)
        print(f"{name}: {len(requests)} edits", file=sys.stderr)


def files(task: str, seed: int) -> dict[str, list[Request]]:
    """What is written, by file name."""
    found = {f"{part}.jsonl": TASKS[task](part, seed) for part in PARTS}
    if task == "convsent":
        found["test-replies.jsonl"] = opinions.replies_of_both(found["test.jsonl"], seed)
    return found


def _write(path: Path, requests: list[Request]) -> None:
    parsed = [parse_request(request, where=f"{path.name}, {n}") for n, request in enumerate(requests, start=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump_requests(parsed))


if __name__ == "__main__":
    main()
