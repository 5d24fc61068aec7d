"""C = E[k kᵀ]: where keys usually lie, so that an edit can keep out of their way.

It is taken of the pristine base, also where packages are applied: so it is computed once for all edits of a model, as
in the published work. What decides it is its key; see :func:`patchmgr_keyvalue.moments.moment_key`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import FormatError, MethodError
from patchmgr.methods.architecture import Projection
from patchmgr.methods.artefacts import Artefact
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr.methods.shared import Shared, is_shared, read_shared
from patchmgr_keyvalue.moments import KIND, computed, dtype_of, moment_key
from patchmgr_keyvalue.texts import row_tokens, text_of


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """C of one projection's inputs."""

    matrix: Float[Tensor, "d_in d_in"]
    """Float64, on the CPU."""
    n_tokens: int
    sha256: str
    """Digest of the artefact's file."""
    key: Mapping[str, Any]
    """All that decided the matrix."""


def second_moments(
    loaded: LoadedModel, projections: Sequence[Projection], context: EditContext, *, n_tokens: int, seed: int
) -> tuple[SecondMoment, ...]:
    """C of every projection (listed from the bottom up), from the artefact store or in one pass over the text.

    Args:
        loaded: the model that is edited, in evaluation mode.
        projections: whose inputs to read.
        context: the artefact store; the base, where it is not ``loaded``; and the text, or a folder of statistics that
            others made, whose number of tokens then counts.
        n_tokens: tokens to read, rounded up to whole rows; a shorter text is read to its end.
        seed: of the sampled text, when there is no corpus.

    Raises:
        NotFoundError: there is no such text file.
        BaseMismatchError: the statistics of others are of another base.
        MethodError: the text is empty, a moment is not finite, or a folder of statistics does not have it.
        FormatError: what was made by others is no covariance of that projection.
    """
    base = context.base
    root = loaded.state_root if base is None else base.state_root
    if context.corpus is not None and is_shared(context.corpus):
        shared = read_shared(context.corpus)
        shared.check_base(root, "the base here")
        return tuple(_moment(_of_others(shared, context.corpus, each, context), each) for each in projections)
    text, width = text_of(context.corpus, seed), row_tokens(loaded)
    found = {
        each.name: context.artefacts.find(KIND, moment_key(each, root, text, n_tokens, width)) for each in projections
    }
    missing = [each for each in projections if found[each.name] is None]
    if missing:
        of = loaded if base is None or root == loaded.state_root else base.load()
        here = [each if of is loaded else _in(of, each) for each in missing]
        made = computed(of, here, text, context, n_tokens=n_tokens)
        found.update(zip((each.name for each in missing), made, strict=True))
    return tuple(_moment(artefact, each) for each in projections if (artefact := found[each.name]) is not None)


def _in(of: LoadedModel, projection: Projection) -> Projection:
    """The same projection in another copy of the model."""
    module = of.model.get_submodule(projection.name)
    return Projection(module, projection.name, projection.orientation, projection.d_in, projection.d_out)


def _of_others(shared: Shared, folder: Path, projection: Projection, context: EditContext) -> Artefact:
    """What others made for a projection; it is kept, so that it need not be read from the folder again."""
    wanted = (KIND, projection.weight_name, dtype_of(projection))
    found = [each for each in shared.artefacts if (each.kind, each.key.get("tensor"), each.key.get("dtype")) == wanted]
    if len(found) != 1:
        raise MethodError(
            f"{folder} has {len(found)} covariances of {projection.weight_name} in {wanted[2]}, one is needed",
            hint="choose layers that it has, or let `patchmgr stats export` write one text's statistics only",
        )
    kept = context.artefacts.find(KIND, found[0].key)
    if kept is not None and kept.sha256 == found[0].sha256:
        return kept
    return context.artefacts.put_file(KIND, found[0].key, shared.check_file(folder, found[0]), found[0].notes)


def _moment(artefact: Artefact, projection: Projection) -> SecondMoment:
    matrix, tokens = artefact.arrays.get("moment"), artefact.arrays.get("tokens")
    if matrix is None or tokens is None or matrix.shape != (projection.d_in, projection.d_in) or tokens.shape != (1,):
        raise FormatError(
            f"the artefact {artefact.sha256[:12]} is no covariance of {projection.weight_name}",
            hint="remove it with `patchmgr stats remove`",
        )
    return SecondMoment(torch.from_numpy(np.array(matrix)).double(), int(tokens[0]), artefact.sha256, artefact.key)
