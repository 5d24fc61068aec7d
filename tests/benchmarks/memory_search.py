"""Exact search for the nearest of many keys: milliseconds a query, beside a loop over the keys in numpy.

    python tests/benchmarks/memory_search.py                # 1,000, 10,000 and 100,000 keys of 384 dimensions
    python tests/benchmarks/memory_search.py --threads 1

The encoder is not part of it. The exit code is 3 when one query among the most keys takes 50 ms or more.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from patchmgr_memory.search import nearest

WANTED_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description="exact search among keys")
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--k", type=int, default=1, help="hits of a query")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.width} dimensions, {given.k} hit(s), {given.threads} thread(s), load {os.getloadavg()[0]:.1f}")
    print(f"ms a query, fastest of {given.rounds}; in brackets the median, which other work on the machine raises")
    print(f"{'keys':>8}" + "".join(f"{f'{n} together':>18}" for n in given.batches) + f"{'numpy loop':>13}{'times':>8}")
    alone = 0.0
    for count in given.keys:
        keys, queries = unit(count, given.width, 0), unit(max(given.batches), given.width, 1)
        cells = []
        for n in given.batches:
            some = queries[:n]
            fastest, middle = (ms / n for ms in timed(partial(nearest, some, keys, given.k), given.rounds))
            alone = fastest if n == 1 else alone
            cells.append(f"{f'{fastest:.2f} ({middle:.2f})':>18}")
        arrays = queries[0].numpy(), keys.numpy()
        loop, _ = timed(partial(naive, *arrays), 3)
        assert naive(*arrays) == nearest(queries[:1], keys, 1).places.item()
        print(f"{count:>8}{''.join(cells)}{loop:>13.1f}" + (f"{loop / alone:>8.1f}" if alone else ""))
    raise SystemExit(0 if alone < WANTED_MS else 3)


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    """Random vectors of length 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def naive(query: np.ndarray, keys: np.ndarray) -> int:
    """The nearest key, one after the other."""
    best, place = -2.0, -1
    for number, key in enumerate(keys):
        cosine = float(query @ key)
        if cosine > best:
            best, place = cosine, number
    return place


def timed(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Milliseconds, the least and the median of some runs behind a first one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times), 1000 * float(np.median(times))


if __name__ == "__main__":
    main()
