"""Training an editor: checkpoints in a folder of the home, so that a run that was killed is gone on from.

The folder is named after everything that decides the result. The same command finds it again, another one begins anew,
and when the editor is in the registry the folder goes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.canonical import sha256_file, sha256_json
from patchmgr.durable import storing
from patchmgr.errors import BusyError, MethodError, RequestError, UsageError
from patchmgr.manager.bench import checked, find_device
from patchmgr.manager.edit import parse_parameters
from patchmgr.manager.editors import data as editor_data
from patchmgr.manager.editors.keep import register
from patchmgr.manager.making import LIBRARIES, base_record
from patchmgr.manager.states import open_base, registered_fingerprint
from patchmgr.methods.contract import MethodParameters
from patchmgr.methods.training import TrainedDraft, Trainer, TrainingContext, TrainingData
from patchmgr.ops.stack import state_root
from patchmgr.package.editor import EditorManifest, EditorPackage
from patchmgr.package.fields import FileRecord
from patchmgr.package.manifest import check_name
from patchmgr.request import EditRequest
from patchmgr_registry import EditorRecord, ModelRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
"""What an editor may be made of: tensors, settings, and the plain files of tokenizers."""


def _silent(_step: int, _figures: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class TrainOrder:
    """What to train, on what, and how it shall be called."""

    name: str
    method: str
    requests: tuple[EditRequest, ...]
    validation: tuple[EditRequest, ...] = ()
    """None: a share of ``requests`` is kept back."""
    share: float = 0.1
    """About how much of ``requests`` is kept back, where ``validation`` is empty."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As the user gave them; the trainer's own schema parses strings."""
    seed: int = 0
    message: str = ""
    license: str | None = None
    device: str = "cpu"
    """cpu, cuda, cuda:N, mps or auto."""
    restart: bool = False
    """Begin anew even where an interrupted run could be gone on from."""
    report: Callable[[int, Mapping[str, float]], None] = _silent
    """Told the figures of each validation."""


@dataclass(frozen=True)
class TrainPreview:
    """What a training would do."""

    reference: str
    method: str
    parameters: Mapping[str, Any]
    n_training: int
    n_validation: int
    resumes: bool
    """Whether an interrupted run would be gone on from."""


@dataclass(frozen=True)
class _Task:
    """An order that was checked."""

    trainer: Trainer
    parameters: MethodParameters
    data: TrainingData
    record: ModelRecord
    root: str
    """State root of the base."""
    folder: Path
    """Of the checkpoints."""


def check_training(manager: Manager, model: str, order: TrainOrder) -> TrainPreview:
    """Check an order as :func:`train` does before it loads the model, and change nothing; errors as those."""
    task = _checked(manager, model, order)
    return TrainPreview(
        reference=f"{order.name}@v{manager.registry.next_editor_number(order.name)}",
        method=task.trainer.name,
        parameters=task.parameters.model_dump(mode="json"),
        n_training=len(task.data.training),
        n_validation=len(task.data.validation),
        resumes=task.folder.is_dir() and not order.restart,
    )


def train(manager: Manager, model: str, order: TrainOrder) -> EditorRecord:
    """Train an editor on a model's base and keep it as the next version of its name.

    A run that was interrupted is gone on from by the same order, and gives what it would have given.

    Raises:
        NotFoundError: there is no such model or method.
        UsageError: the method needs no training, or a parameter or device cannot be.
        RequestError: the data lack what the trainer needs.
        MethodError: it cannot train for this model, or memory ran out.
        BusyError: the same training is running already.
    """
    task = _checked(manager, model, order)
    known = registered_fingerprint(manager, task.record.base)
    base = open_base(manager, task.record, known)
    from patchmgr.live.load import load_model  # torch: not before all that is named was found
    from patchmgr.live.shortage import within_memory

    device = checked(find_device(order.device))
    with _checkpoints(task.folder, restart=order.restart):
        manager.progress(0, 1, "loading the model")
        loaded = load_model(base.folder, task.root, dtype="float32", device=device)
        context = TrainingContext(task.folder, seed=order.seed, progress=manager.progress, report=order.report)
        with (
            storing("the checkpoints of the training"),
            within_memory(f"training {task.trainer.name}", hint="a smaller batch needs less"),
        ):
            trained = task.trainer.train(loaded, task.data, task.parameters, context)
        editor = EditorPackage(_manifest(manager, order, task, trained), trained.files)
        return register(manager, editor, "train", model=model)


def _checked(manager: Manager, model: str, order: TrainOrder) -> _Task:
    check_name(order.name)
    if order.device != "auto":  # to look for one takes torch
        find_device(order.device)
    trainer = manager.plugins.trainer(order.method)
    record = manager.registry.model(model)
    parameters = parse_parameters(trainer, order.parameters)
    root = state_root(registered_fingerprint(manager, record.base))
    data = _data(order)
    decides = {
        "trainer": [trainer.name, trainer.version],
        "parameters": parameters.model_dump(mode="json"),
        "seed": order.seed,
        "state_root": root,
        "data": [editor_data.record(part).model_dump() for part in (data.training, data.validation)],
    }
    return _Task(trainer, parameters, data, record, root, manager.settings.trainings / sha256_json(decides)[:32])


def _data(order: TrainOrder) -> TrainingData:
    if not order.validation:
        if not 0 < order.share < 1:
            raise UsageError(f"--keep-back {order.share:g} is no share", hint="give a number between 0 and 1")
        return editor_data.parted(order.requests, order.share, order.seed)
    known = {request.text for request in order.validation}
    for request in order.requests:
        if request.text in known:
            raise RequestError(
                f"{request.text!r} is in the training data and in the validation data", hint="take it out of one"
            )
    return TrainingData(order.requests, order.validation)


@contextlib.contextmanager
def _checkpoints(folder: Path, *, restart: bool) -> Iterator[None]:
    """The folder for as long as the block lasts, one process at a time; it and its lock go when the block ends well."""
    from filelock import FileLock, Timeout

    with storing("the checkpoints of the training"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f"{folder.name}.lock")
    lock = FileLock(path, timeout=0)
    gate = FileLock(folder.with_name(".lock"))  # without it, one could lock a file that another has just unlinked
    try:
        with gate:
            lock.acquire()
    except Timeout:
        raise BusyError("the same training is running already", hint="wait for it, or stop it") from None
    try:
        if restart:
            shutil.rmtree(folder, ignore_errors=True)
        with storing("the checkpoints of the training"):
            folder.mkdir(exist_ok=True)
        yield
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        with gate:
            lock.release()
            if not folder.exists():
                path.unlink(missing_ok=True)


def _manifest(manager: Manager, order: TrainOrder, task: _Task, trained: TrainedDraft) -> EditorManifest:
    for name in trained.files:
        if not name.endswith(_SUFFIXES):
            raise MethodError(
                f"{task.trainer.name} gave the file {name!r}, and an editor holds {', '.join(_SUFFIXES)} only",
                hint="tell the author of the plugin",
            )
    files = {
        name: FileRecord(size_bytes=path.stat().st_size, sha256=sha256_file(path))
        for name, path in sorted(trained.files.items())
    }
    return EditorManifest(
        name=order.name,
        version=manager.registry.next_editor_number(order.name),
        message=order.message,
        author=manager.settings.actor,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        license=order.license,
        method=task.trainer.name,
        method_version=task.trainer.version,
        parameters=dict(trained.parameters),
        seed=order.seed,
        base=base_record(task.record.base),
        training=editor_data.record(task.data.training),
        validation=editor_data.record(task.data.validation),
        steps=trained.steps,
        figures=dict(trained.figures),
        files=files,
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
    )
