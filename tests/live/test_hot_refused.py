"""What hot_apply refuses, by name and with the model left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from checkpoints import SHAPES, make_checkpoint, make_package, random_factors
from live.hot_models import FIRST, SECOND, TORCH, Tiny, make_shelf, sequential, values
from memory_packages import make_memory_package
from patchmgr import hot_apply
from patchmgr.errors import BaseMismatchError, ConflictError, IntegrityError, MethodError, UsageError
from patchmgr.package.encodings.dense import Dense
from patchmgr.package.encodings.xor import xor_between
from patchmgr.package.reader import EditPackage


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    return make_shelf(folder, make_checkpoint(folder / "base"), "BF16")


@pytest.fixture
def model(shelf):
    return Tiny(shelf.base)


def refused(shelf, model, error, match, *packages):
    before = shelf.live(model)
    with pytest.raises(error, match=match), hot_apply(model, *packages):
        pytest.fail("was let in")
    assert shelf.live(model) == before


def test_a_memory_which_says_where_it_goes_instead(shelf, model, tmp_path):
    make_memory_package(tmp_path / "kb", shelf.base)
    refused(
        shelf, model, UsageError, "kb@v1 is a memory: it changes no weights", shelf.packages["low"], tmp_path / "kb"
    )
    with pytest.raises(UsageError) as caught, hot_apply(model, tmp_path / "kb"):
        pytest.fail("was let in")
    assert "patchmgr.load" in caught.value.hint


def test_a_package_twice(shelf, model):
    low = shelf.packages["low"]
    refused(shelf, model, ConflictError, "low@v1 is in force already", low, low)
    with hot_apply(model, low):
        refused(shelf, model, ConflictError, "low@v1 is in force already", shelf.packages["dense"], low)
        assert shelf.live(model) == shelf.canonical(["low"])
    assert vars(model).keys() == vars(Tiny(shelf.base)).keys()


def test_a_package_of_another_base(shelf, tmp_path):
    other = Tiny(make_checkpoint(tmp_path / "other", seed=1))
    refused(
        shelf, other, BaseMismatchError, rf"'{FIRST}' of this model is .*low@v1 was computed on", shelf.packages["low"]
    )
    assert vars(other).keys() == vars(Tiny(shelf.base)).keys()


def test_a_package_without_those_that_it_was_computed_on(shelf, model):
    child, low, swap = (shelf.packages[name] for name in ("child", "low", "swap"))
    missing = swap.manifest.digest[:12]
    refused(shelf, model, ConflictError, "child@v1 was computed on 2 package", child)
    with hot_apply(model, low):
        refused(shelf, model, ConflictError, rf"computed on 1 package\(s\) .*{missing}.*'{FIRST}'", child)
        with hot_apply(model, swap, child):
            assert shelf.live(model) == shelf.canonical(["low", "swap", "child"])


def test_two_replacements_of_one_tensor(shelf, model, tmp_path):
    before = np.frombuffer(shelf.canonical([])[FIRST], np.uint8)
    make_package(
        tmp_path / "other", shelf.base, name="other", deltas={FIRST: xor_between(before, before[::-1], "BF16")}
    )
    other, swap = tmp_path / "other", shelf.packages["swap"]
    refused(shelf, model, ConflictError, "other@v1 replaces .* swap@v1 replaces too", swap, other)
    with hot_apply(model, str(other)):
        refused(shelf, model, ConflictError, "swap@v1 replaces .* other@v1 replaces too", swap)


def test_a_replacement_of_what_its_parents_changed(shelf, model, tmp_path):
    before = np.frombuffer(shelf.canonical([])[FIRST], np.uint8)
    package = sequential(tmp_path / "late", shelf, ["low"], {FIRST: xor_between(before, before[::-1], "BF16")})
    refused(
        shelf,
        model,
        ConflictError,
        "late@v1 replaces .*computed on packages that change",
        shelf.packages["low"],
        package,
    )


def test_a_package_that_is_wrong_about_its_result(shelf, model, tmp_path):
    with_parents = sequential(
        tmp_path / "liar", shelf, ["low"], {SECOND: random_factors(np.random.default_rng(1), SHAPES[SECOND], 1)}
    )
    (touched,) = with_parents.manifest.tensors
    lying = with_parents.manifest.model_copy(
        update={"tensors": (touched.model_copy(update={"after_sha256": "0" * 64}),)}
    )
    liar = EditPackage(lying, with_parents.files)
    refused(shelf, model, IntegrityError, "liar@v1 gives .* and says 000000000000", shelf.packages["low"], liar)
    with hot_apply(model, shelf.packages["low"]):
        refused(shelf, model, IntegrityError, "liar@v1 gives", liar)
        with hot_apply(model, shelf.packages["dense"]):
            assert shelf.live(model) == shelf.canonical(["low", "dense"])


def test_a_sum_that_is_not_finite_and_one_that_becomes_so_on_leaving(shelf, model, tmp_path):
    huge = np.full(SHAPES[FIRST], 3.0e38, np.float32)
    deltas = {"up": huge, "more": huge, "down": -huge}
    for name, found in deltas.items():
        if name != "more":
            make_package(tmp_path / name, shelf.base, name=name, deltas={FIRST: Dense(found)})
    make_package(tmp_path / "more", shelf.base, name="more", seed=1, deltas={FIRST: Dense(huge)})
    up, more, down = (tmp_path / name for name in deltas)
    refused(shelf, model, MethodError, "leaves the range of BF16", up, more)
    first, second = hot_apply(model, up, more, down), hot_apply(model, shelf.packages["columns"])
    first.__enter__()
    second.__enter__()
    second.__exit__(None, None, None)
    first.__exit__(None, None, None)
    outer, inner = hot_apply(model, down), hot_apply(model, up, more)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(MethodError, match="leaves the range"):
        outer.__exit__(None, None, None)  # what stays has no finite sum; the parameter is pristine meanwhile
    assert shelf.live(model) == shelf.canonical([])
    inner.__exit__(None, None, None)
    assert shelf.live(model) == shelf.canonical([])
    assert vars(model).keys() == vars(Tiny(shelf.base)).keys()


class Packed(nn.Parameter):
    """As quantising libraries mark theirs."""


def offload(model: nn.Module) -> None:
    model.layers[0].down.weight = nn.Parameter(torch.empty(SHAPES[FIRST], dtype=torch.bfloat16, device="meta"))


def quantise(model: nn.Module) -> None:
    model.layers[0].down.weight = Packed(torch.zeros(SHAPES[FIRST], dtype=torch.bfloat16))


def to_integers(model: nn.Module) -> None:
    model.layers[0].down.weight = nn.Parameter(torch.zeros(SHAPES[FIRST], dtype=torch.int8), requires_grad=False)


def halve(model: nn.Module) -> None:
    model.half()


def fuse(model: nn.Module) -> None:
    model.layers[0].down.weight = nn.Parameter(torch.zeros((12, 9), dtype=torch.bfloat16))


def train(model: nn.Module) -> None:
    model.float()
    with torch.no_grad():
        model.layers[0].down.weight[0, 0] += 1e-6


def forget(model: nn.Module) -> None:
    del model.layers[0].down.weight


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (offload, BaseMismatchError, "is not in memory: it is offloaded"),
        (quantise, BaseMismatchError, r"is quantised \(Packed, stored as BF16\)"),
        (to_integers, BaseMismatchError, "is kept as torch.int8 and stored as BF16"),
        (halve, BaseMismatchError, "is kept as torch.float16 and stored as BF16"),
        (fuse, BaseMismatchError, r"is \[12, 9\] here and \[6, 9\] in the checkpoint"),
        (train, BaseMismatchError, "holds numbers that BF16 does not have"),
        (forget, MethodError, "has no parameter"),
    ],
)
def test_parameters_that_are_not_the_stored_elements(shelf, model, change, error, match):
    change(model)
    untouched = model.norm.weight.detach().clone()
    with pytest.raises(error, match=match) as caught, hot_apply(model, shelf.packages["low"]):
        pytest.fail("was let in")
    assert repr(FIRST) in str(caught.value)
    assert torch.equal(model.norm.weight, untouched)
    assert not [name for name in vars(model) if "patchmgr" in name]


def test_a_model_of_a_generation_takes_packages_on_it_that_touch_what_it_left_alone(shelf, tmp_path):
    """Loaded from a folder with ``columns`` applied: what that package changed was rounded and takes nothing more."""
    rng, states = np.random.default_rng(9), shelf.canonical(["columns"])
    apart = sequential(tmp_path / "apart", shelf, ["columns"], {SECOND: Dense(values(rng, *SHAPES[SECOND]))})
    same = sequential(tmp_path / "same", shelf, ["columns"], {FIRST: Dense(values(rng, *SHAPES[FIRST]))})
    model = Tiny(shelf.base)
    with torch.no_grad():
        bits = torch.frombuffer(bytearray(states[FIRST]), dtype=torch.bfloat16)
        model.layers[0].down.weight.copy_(bits.reshape(SHAPES[FIRST]))
    with hot_apply(model, apart):
        assert shelf.live(model)[FIRST] == states[FIRST]
        both = hot_apply(model, shelf.packages["sparse"])
        with both as hot:
            assert hot.digests.keys() == {SECOND, "embed.weight"}
    refused(shelf, model, ConflictError, rf"same@v1 was computed on 1 package.*'{FIRST}'", same)
    refused(shelf, model, BaseMismatchError, "dense@v1 was computed on", shelf.packages["dense"])


@pytest.mark.parametrize("dtype", TORCH)
def test_a_package_of_the_other_dtype_is_not_rounded_into_place(dtype, tmp_path):
    base = make_checkpoint(tmp_path / "base", dtype=dtype)
    make_package(tmp_path / "one", base)
    for kept in TORCH.values():
        model = Tiny(base).to(kept)
        if kept in (TORCH[dtype], torch.float32):
            with hot_apply(model, tmp_path / "one"):
                pass
        else:
            with pytest.raises(BaseMismatchError, match="which it cannot hold"), hot_apply(model, tmp_path / "one"):
                pass
