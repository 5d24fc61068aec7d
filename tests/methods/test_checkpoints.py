"""A checkpoint is gone on from when every byte of it is what was written, and is refused in words otherwise."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from limits import small_files
from patchmgr.canonical import canonical_json, sha256_file, sha256_json
from patchmgr.errors import FormatError, StorageError
from patchmgr.methods.checkpoints import Best, Checkpoints, Progress

PARTS = ("step", "exp_avg", "exp_avg_sq")
PROGRESS = Progress(4, {"net": Best(2, (-0.5,))}, 1)


def networks(d_in: int = 6):
    return {"W": torch.nn.Parameter(torch.full((4, d_in), 0.5)), "n": torch.tensor(3)}


def adam(tensors):
    return torch.optim.Adam([tensors["W"]], foreach=False)


def stepped(tensors, optimiser):
    tensors["W"].square().sum().backward()
    optimiser.step()
    return optimiser


@pytest.fixture
def written(tmp_path):
    """A folder with a checkpoint of step 4 and the best state, which is that of step 2."""
    tensors, checkpoints = networks(), Checkpoints(tmp_path)
    optimiser = stepped(tensors, adam(tensors))
    checkpoints.keep_best("net", 2, tensors)
    stepped(tensors, optimiser)
    checkpoints.write(PROGRESS, tensors, optimiser)
    return tmp_path


def sealed(folder, state, **tensors):
    """Write a checkpoint whose digest is right, whatever is in it."""
    save_file(tensors, folder / "tensors.safetensors")
    digest = sha256_json({"state": state, "tensors": sha256_file(folder / "tensors.safetensors")})
    (folder / "state.json").write_bytes(canonical_json({"state": state, "digest": digest}))


def test_what_was_written_is_gone_on_from_to_the_bit(written):
    ours, theirs = networks(), networks()
    optimiser = adam(ours)
    assert Checkpoints(written).resume(ours, optimiser) == PROGRESS
    reference = stepped(theirs, stepped(theirs, adam(theirs)))
    assert torch.equal(ours["W"], theirs["W"])
    assert all(torch.equal(optimiser.state[ours["W"]][part], reference.state[theirs["W"]][part]) for part in PARTS)
    Checkpoints(written).restore_best("net", 2, ours)
    best = networks()
    stepped(best, adam(best))
    assert torch.equal(ours["W"], best["W"])


def test_a_checkpoint_goes_when_the_next_is_there_and_other_folders_stay(written):
    for name in ("editor", "checkpoint-old", "net-1", "checkpoint-1", ".new-checkpoint-4-x"):
        (written / name).mkdir()
    (written / "checkpoint-9").write_text("no folder")
    tensors, checkpoints = networks(), Checkpoints(written)
    optimiser = adam(tensors)
    assert checkpoints.resume(tensors, optimiser).step == 4
    checkpoints.write(Progress(6, PROGRESS.best, 2), tensors, optimiser)
    assert sorted(each.name for each in written.iterdir() if each.is_dir()) == [
        "checkpoint-6",
        "checkpoint-old",
        "editor",
        "net-2",
    ]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("of", ["checkpoint-4", "net-2"])
def test_a_flipped_bit_anywhere_is_found(written, of, name):
    path = written / of / name
    data = path.read_bytes()
    for place in (3, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(FormatError, match=of) as raised:
            opened(written, of)
        assert raised.value.hint == "train with --restart, which begins anew"
    path.unlink()
    with pytest.raises(FormatError, match=of):
        opened(written, of)


def opened(folder, of):
    tensors = networks()
    if of == "net-2":
        Checkpoints(folder).restore_best("net", 2, tensors)
    else:
        Checkpoints(folder).resume(tensors, adam(tensors))


def test_a_best_state_that_is_gone_is_said(written):
    shutil.rmtree(written / "net-2")
    with pytest.raises(FormatError, match="net-2 cannot be read") as raised:
        opened(written, "net-2")
    assert "--restart" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: found.pop("net.W"), r"'net\.W' is missing, wanted: \(\(4, 6\), 'torch\.float32'\)"),
        (lambda found: found.pop("adam.exp_avg.W"), r"'adam\.exp_avg\.W' is missing"),
        (lambda found: found.update({"net.W": torch.zeros(4, 5)}), r"'net\.W' is \(\(4, 5\)"),
        (lambda found: found.update({"net.n": torch.tensor(1.0)}), r"'net\.n' is \(\(\), 'torch.float32'\)"),
        (lambda found: found.update({"adam.exp_avg_sq.W": torch.zeros(2)}), r"'adam\.exp_avg_sq\.W' is"),
        (lambda found: found.update({"net.more": torch.zeros(1)}), r"'net\.more' is .*, wanted: none"),
    ],
)
def test_tensors_of_other_networks_are_refused_before_any_is_taken(written, change, says):
    found = load_file(written / "checkpoint-4" / "tensors.safetensors")
    change(found)
    sealed(written / "checkpoint-4", json.loads((written / "checkpoint-4/state.json").read_bytes())["state"], **found)
    tensors = networks()
    with pytest.raises(FormatError, match=says):
        Checkpoints(written).resume(tensors, adam(tensors))
    assert torch.equal(tensors["W"], networks()["W"])


@pytest.mark.parametrize("state", [{}, {"step": 4, "best": [], "waited": 0}, {"step": "x", "best": {}, "waited": 0}])
def test_a_state_of_another_form_is_refused(written, state):
    sealed(written / "checkpoint-4", state, **load_file(written / "checkpoint-4" / "tensors.safetensors"))
    with pytest.raises(FormatError, match=r"state\.json cannot be read"):
        opened(written, "checkpoint-4")


def test_best_states_of_other_networks_are_refused(written):
    tensors = networks(d_in=5)
    with pytest.raises(FormatError, match=r"net-2 is of other networks: 'W' is \(\(4, 6\)"):
        Checkpoints(written).restore_best("net", 2, tensors)


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before(written):
    tensors = {"W": torch.nn.Parameter(torch.zeros(50, 100)), "n": torch.tensor(3)}
    before = sorted(written.iterdir())
    with (
        small_files(5000),
        pytest.raises(StorageError, match="cannot write a checkpoint: the file would pass the limit"),
    ):
        Checkpoints(written).keep_best("net", 6, tensors)
    assert sorted(written.iterdir()) == before
