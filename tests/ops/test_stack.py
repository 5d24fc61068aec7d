"""Stacks as values: what may go on top, what takes whose place, and what may be taken out."""

from __future__ import annotations

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.errors import ConflictError, NotFoundError
from patchmgr.ops import stack as stacks
from patchmgr.package.manifest import Manifest, ParentRecord


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Manifest:
    folder = tmp_path_factory.mktemp("stack")
    return make_package(folder / "p", make_checkpoint(folder / "base"))


def named(plain: Manifest, name: str, *, version: int = 1, on: tuple[Manifest, ...] = ()) -> Manifest:
    parent = ParentRecord(root=plain.parent.root, packages=tuple(package.digest for package in on))
    return plain.model_copy(update={"name": name, "version": version, "parent": parent})


def references(stack) -> list[str]:
    return [package.reference for package in stack]


def test_packages_go_on_top_in_order_and_once(plain):
    a, b = named(plain, "a"), named(plain, "b")
    change = stacks.add((), [a, b, a])
    assert references(change.stack) == references(change.added) == ["a@v1", "b@v1"]
    assert stacks.add(change.stack, [a]).stack == change.stack


def test_another_version_takes_the_place_unless_it_was_computed_on_it(plain):
    a1, b = named(plain, "a"), named(plain, "b")
    parallel = named(plain, "a", version=2)
    change = stacks.add((a1, b), [parallel])
    assert references(change.stack) == ["b@v1", "a@v2"]
    assert references(change.removed) == ["a@v1"]
    sequential = named(plain, "a", version=2, on=(a1,))
    assert references(stacks.add((a1, b), [sequential]).stack) == ["a@v1", "b@v1", "a@v2"]


def test_a_package_whose_parents_are_missing_is_refused(plain):
    a = named(plain, "a")
    b = named(plain, "b", on=(a,))
    with pytest.raises(ConflictError, match="b@v1 was computed on 1 package"):
        stacks.add((), [b])
    assert references(stacks.add((), [a, b]).stack) == ["a@v1", "b@v1"]


def test_exchanging_a_version_that_others_were_computed_on_is_refused(plain):
    a1 = named(plain, "a")
    b = named(plain, "b", on=(a1,))
    with pytest.raises(ConflictError, match="b@v1 was computed on"):
        stacks.add((a1, b), [named(plain, "a", version=2)])


def test_taking_out_what_others_need_is_refused_or_cascades(plain):
    a = named(plain, "a")
    b = named(plain, "b", on=(a,))
    c = named(plain, "c", on=(a, b))
    d = named(plain, "d")
    with pytest.raises(ConflictError, match="b@v1, c@v1 was computed on"):
        stacks.remove((a, d, b, c), [a])
    change = stacks.remove((a, d, b, c), [a], cascade=True)
    assert references(change.stack) == ["d@v1"]
    assert references(change.removed) == ["a@v1", "b@v1", "c@v1"]
    assert references(stacks.remove((a, d, b, c), [a, b, c]).stack) == ["d@v1"]


def test_taking_out_what_is_not_there_is_refused(plain):
    with pytest.raises(NotFoundError, match="a@v1 is not applied"):
        stacks.remove((), [named(plain, "a")])


def test_force_takes_out_what_others_need_and_leaves_them_in_peace_afterwards(plain):
    a = named(plain, "a")
    b = named(plain, "b", on=(a,))
    c = named(plain, "c", on=(b,))
    change = stacks.remove((a, b, c), [a], force=True)
    assert (references(change.stack), references(change.removed)) == (["b@v1", "c@v1"], ["a@v1"])
    d = named(plain, "d")
    assert references(stacks.add(change.stack, [d]).stack) == ["b@v1", "c@v1", "d@v1"]
    with pytest.raises(ConflictError, match="c@v1 was computed on"):
        stacks.remove(change.stack, [b])
    with pytest.raises(ConflictError, match="c@v1 was computed on"):
        stacks.add(change.stack, [named(plain, "b", version=2)])
    with pytest.raises(ConflictError, match="b@v1 was computed on"):
        stacks.add((), [b])
