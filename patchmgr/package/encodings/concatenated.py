"""Several additive deltas of one tensor as one that adds exactly the same: no sum of them is rounded.

Of a matrix all terms stand side by side. A delta of single values is written as factors, one of which picks rows or
columns: values are float32 and what picks is 1, so every product is the value itself, and the kernel sums the same
terms as it does for the deltas one by one. Factors are of matrices only; of any other tensor the values are added,
where that is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from patchmgr.package.encodings.contract import Additive, Array, Elements, Factors
from patchmgr.package.encodings.dense import Dense

BLOCK_ELEMENTS = 1 << 20
"""Elements widened to float64 at a time."""


def concatenated(deltas: Sequence[Additive], shape: tuple[int, ...]) -> Additive | None:
    """One delta that adds exactly what some deltas of one tensor add together; one alone stays as it is.

    Args:
        deltas: one at least.
        shape: of the tensor.

    Returns:
        None: the tensor is no matrix, and the sum of some values is no float32.
    """
    if len(deltas) == 1:
        return deltas[0]
    if len(shape) != 2:
        values = _exact_sum([_values(delta) for delta in deltas if not isinstance(delta, Factors)])
        return None if values is None else Dense(values.reshape(shape))
    factors = [delta if isinstance(delta, Factors) else as_factors(delta) for delta in deltas]
    return Factors(
        np.concatenate([each.u for each in factors], axis=1), np.concatenate([each.v for each in factors], axis=0)
    )


def as_factors(delta: Elements) -> Factors:
    """Single values as factors, of as small a rank as picking rows or columns gives."""
    rows, columns = delta.shape
    values = _values(delta)
    touched_rows, touched_columns = np.flatnonzero(values.any(axis=1)), np.flatnonzero(values.any(axis=0))
    if len(touched_columns) <= len(touched_rows):
        return Factors(np.ascontiguousarray(values[:, touched_columns]), _picking(touched_columns, columns))
    return Factors(np.ascontiguousarray(_picking(touched_rows, rows).T), values[touched_rows])


def _exact_sum(summands: Sequence[Array]) -> Array | None:
    """The sum of float32 arrays as float32; None where any rounding, also of a partial sum in float64, would occur."""
    total = np.zeros(summands[0].shape)
    for values in summands:
        found = total + values
        back = found - total
        if ((total - (found - back)) + (values - back)).any():  # the error of a sum, exactly: Knuth's TwoSum
            return None
        total = found
    narrow = total.astype(np.float32)
    return narrow if bool((narrow == total).all()) else None


def _values(delta: Elements) -> Array:
    rows, columns = delta.shape
    values = np.zeros((rows, columns), np.float32)
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows, step):
        block = delta.block(start, min(start + step, rows))
        if block is not None:
            values[start : start + step] = block
    return values


def _picking(places: Array, size: int) -> Array:
    """(len(places), size) float32: row i is 1 at ``places[i]``."""
    picking = np.zeros((len(places), size), np.float32)
    picking[np.arange(len(places)), places] = 1
    return picking
