"""Hooks move what comes out of a map as the changed weights would, and copy no change for the rows that meet it."""

from __future__ import annotations

import pytest
import torch

from patchmgr.methods.architecture import find_architecture
from patchmgr_mend.network import Factors
from patchmgr_mend.overlay import changed


@pytest.fixture
def site(base):
    """A map of a block, (d_in, d_out) in a GPT-2."""
    return find_architecture(base.model).projections(0)[0]


def factors(site, groups: int, tokens: int) -> Factors:
    generator = torch.Generator().manual_seed(0)
    D, A = (torch.randn(groups, tokens, d, generator=generator) for d in (site.d_out, site.d_in))
    return Factors(D.requires_grad_(), A.requires_grad_())


@pytest.mark.parametrize("tokens", [3, 50])
def test_rows_meet_the_map_as_their_own_group_leaves_it(site, tokens):
    change, n_rows = factors(site, 3, tokens), (2, 0, 1)
    x = torch.randn(3, 4, site.d_in, generator=torch.Generator().manual_seed(1))
    before = site.module(x)
    with changed([site], [change], n_rows):
        after, flat = site.module(x), site.module(x.flatten(0, 1))
    for row, group in enumerate((0, 0, 2)):
        wanted = before[row] + x[row] @ (change.D[group].T @ change.A[group]).T
        assert torch.allclose(after[row], wanted, atol=1e-4)
    assert torch.allclose(flat, after.flatten(0, 1), atol=1e-5)
    assert torch.equal(site.module(x), before)


@pytest.mark.parametrize("n_rows", [(40,), (20, 20)])
def test_what_a_pass_keeps_for_its_gradient_does_not_grow_by_the_change_for_each_row(site, n_rows):
    change, x = factors(site, len(n_rows), 200), torch.randn(40, 2, site.d_in)
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), changed([site], [change], n_rows):
        site.module(x).sum().backward()
    whole = sum(part.untyped_storage().nbytes() for part in (change.D, change.A))
    assert whole <= sum(kept.values()) < 2 * whole
