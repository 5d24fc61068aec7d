"""Trained editors: data parted, training that is gone on from, and editors kept, shared and forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from patchmgr.errors import BusyError, ConflictError, FormatError, IntegrityError, MethodError, RequestError, UsageError
from patchmgr.manager.editors.data import parted
from patchmgr.manager.editors.train import TrainOrder
from patchmgr.manager.manager import Manager
from patchmgr.methods.contract import MethodParameters
from patchmgr.methods.training import TrainedDraft
from patchmgr.request import EditRequest

REQUESTS = tuple(
    EditRequest(prompt="{} lies in", subject=f"Town {number}", target_new=f"Land {number % 3}") for number in range(40)
)


class Rounds(MethodParameters):
    rounds: int = 5


class Counting:
    """Adds up random numbers, one for each request and round; a checkpoint after every round."""

    name: ClassVar[str] = "rome"  # any method there is
    version: ClassVar[str] = "1"
    parameters: ClassVar[type[MethodParameters]] = Rounds
    stop_after: int | None = None
    suffix = ".safetensors"
    lock: Path | None = None

    def train(self, model, data, parameters, context):
        done, total = context.folder / "done.json", np.zeros(3)
        begun = json.loads(done.read_text()) if done.exists() else {"round": 0, "total": [0, 0, 0]}
        total += begun["total"]
        for number in range(begun["round"], parameters.rounds):
            if number == self.stop_after:
                raise KeyboardInterrupt
            total += np.random.default_rng([context.seed, number]).normal(size=3) * len(data.training)
            done.write_text(json.dumps({"round": number + 1, "total": list(total)}))
            context.report(number + 1, {"loss": 1 / (number + 1)})
        save_file({"total": total}, context.folder / "total.safetensors")
        files = {f"networks/total{self.suffix}": context.folder / "total.safetensors"}
        return TrainedDraft(files, parameters.model_dump(), parameters.rounds, {"loss": 1 / parameters.rounds})


def order(**other) -> TrainOrder:
    return TrainOrder(**{"name": "scope", "method": "rome", "requests": REQUESTS, **other})


@pytest.fixture
def trainer():
    return Counting()


@pytest.fixture
def manager(tmp_path, trainer):
    with Manager.open(tmp_path / "home") as manager:
        manager.add_model("atlas", "demo:atlas")
        object.__setattr__(manager.plugins, "trainers", MappingProxyType({"rome": trainer}))
        yield manager


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.floats(0.2, 0.8), st.sets(st.integers(0, 39), min_size=1))
def test_the_parts_share_no_subject_and_a_request_stays_on_its_side(seed, share, some):
    whole = parted(REQUESTS, share, seed)
    assert set(whole.training) | set(whole.validation) == set(REQUESTS)
    assert not {r.subject for r in whole.training} & {r.subject for r in whole.validation}
    twice = [*REQUESTS, *(REQUESTS[number].model_copy(update={"prompt": "Where is {}?"}) for number in some)]
    again = parted(twice, share, seed)
    assert set(again.training) >= set(whole.training)
    assert not {r.subject for r in again.training} & {r.subject for r in again.validation}


def test_too_little_to_part_is_said():
    with pytest.raises(RequestError, match="1 requests are too few"):
        parted(REQUESTS[:1], 0.5, 0)


def test_an_editor_is_kept_with_what_it_came_from(manager):
    told = []
    record = manager.editors.train("atlas", order(report=lambda *figures: told.append(figures), message="why"))
    assert (record.reference, record.method) == ("scope@v1", "rome")
    assert told[-1] == (5, {"loss": 0.2})
    manifest = manager.editors.show("scope")
    assert manifest.digest == record.digest
    assert (manifest.parameters, manifest.steps, manifest.figures) == ({"rounds": 5}, 5, {"loss": 0.2})
    assert manifest.training.n + manifest.validation.n == 40
    editor = manager.editors.open("scope@v1", method="rome")
    assert load_file(editor.files["networks/total.safetensors"])["total"].shape == (3,)
    event = manager.registry.events(limit=1)[-1]
    assert (event.action, event.objects[0].name) == ("train", "scope@v1")
    assert [path.name for path in manager.settings.trainings.iterdir()] == [".lock"]
    assert manager.editors.train("atlas", order(seed=1)).reference == "scope@v2"
    assert [each.reference for each in manager.editors.list()] == ["scope@v1", "scope@v2"]


def test_a_killed_training_is_gone_on_from_by_the_same_order_only(manager, trainer):
    whole = manager.editors.train("atlas", order(name="whole"))
    trainer.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        manager.editors.train("atlas", order())
    assert not [each for each in manager.editors.list() if each.name == "scope"]
    assert manager.editors.check_training("atlas", order()).resumes
    assert not manager.editors.check_training("atlas", order(seed=1)).resumes
    assert not manager.editors.check_training("atlas", order(parameters={"rounds": "6"})).resumes
    trainer.stop_after, rounds = None, []
    resumed = manager.editors.train("atlas", order(report=lambda number, _: rounds.append(number)))
    assert rounds == [4, 5]
    assert resumed.files == whole.files


def test_restart_begins_anew(manager, trainer):
    trainer.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        manager.editors.train("atlas", order())
    trainer.stop_after, rounds = None, []
    manager.editors.train("atlas", order(restart=True, report=lambda number, _: rounds.append(number)))
    assert rounds == [1, 2, 3, 4, 5]


def test_the_same_training_runs_once_at_a_time(manager, trainer, monkeypatch):
    def meanwhile(*_):
        return manager.editors.train("atlas", order())

    monkeypatch.setattr(trainer, "train", meanwhile)
    with pytest.raises(BusyError, match="running already"):
        manager.editors.train("atlas", order())


def test_what_cannot_be_trained_is_refused(manager, trainer):
    with pytest.raises(UsageError, match="memit needs no training"):
        manager.editors.train("atlas", order(method="memit"))
    with pytest.raises(UsageError, match="no parameter 'round'"):
        manager.editors.train("atlas", order(parameters={"round": "3"}))
    with pytest.raises(RequestError, match="in the training data and in the validation data"):
        manager.editors.train("atlas", order(validation=REQUESTS[:3]))
    trainer.suffix = ".pkl"
    with pytest.raises(MethodError, match=r"total\.pkl"):
        manager.editors.train("atlas", order())
    assert manager.editors.list() == ()


def test_an_editor_travels_as_a_folder(manager, tmp_path):
    record = manager.editors.train("atlas", order())
    manager.editors.export("scope", tmp_path / "scope")
    with Manager.open(tmp_path / "other") as other:
        assert other.editors.import_folder(tmp_path / "scope", dry_run=True).digest == record.digest
        assert other.editors.list() == ()
        assert other.editors.import_folder(tmp_path / "scope").digest == record.digest
        assert other.editors.import_folder(tmp_path / "scope").reference == "scope@v1"
        assert other.editors.open(f"sha256:{record.digest[:9]}", method="rome").digest == record.digest
        assert other.registry.verify_events() is None
    with pytest.raises(ConflictError, match="there is something"):
        manager.editors.export("scope", tmp_path / "scope")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda folder: (folder / "more.json").write_text("{}"), FormatError),
        (lambda folder: (folder / "link.json").symlink_to("/etc/hostname"), FormatError),
        (lambda folder: (folder / "networks/total.safetensors").unlink(), IntegrityError),
        (lambda folder: flip(folder / "networks/total.safetensors"), IntegrityError),
        (lambda folder: flip(folder / "editor.json"), FormatError),
    ],
)
def test_a_damaged_folder_is_refused(manager, tmp_path, damage, error):
    manager.editors.train("atlas", order())
    manager.editors.export("scope", tmp_path / "scope")
    damage(tmp_path / "scope")
    with Manager.open(tmp_path / "other") as other:
        with pytest.raises(error):
            other.editors.import_folder(tmp_path / "scope")
        assert other.editors.list() == ()
        assert other.registry.events() == ()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 128
    path.write_bytes(data)


def test_its_files_last_as_long_as_it_does(manager, monkeypatch):
    record = manager.editors.train("atlas", order())
    (file,) = record.files
    monkeypatch.setattr("patchmgr.manager.gc.YOUNG_BLOB_S", -1)
    manager.gc()
    assert file.sha256 in manager.registry.blobs
    assert any(row.kind == "editor" and row.name == "scope@v1" for row in manager.du().rows)
    with pytest.raises(UsageError, match="which version"):
        manager.editors.remove("scope")
    manager.editors.remove("scope@v1")
    manager.gc()
    assert file.sha256 not in manager.registry.blobs
    assert manager.registry.next_editor_number("scope") == 1


def test_fsck_finds_a_damaged_editor(manager):
    (file,) = manager.editors.train("atlas", order()).files
    blob = manager.registry.blobs.path(file.sha256)
    blob.chmod(0o644)
    flip(blob)
    assert any("scope@v1" in problem.object for problem in manager.fsck().problems)
    with pytest.raises(IntegrityError, match="its bytes were changed"):
        manager.editors.open("scope", method="rome")
