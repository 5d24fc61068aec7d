"""Editing: run a method on a model's state, measure the result, and store it as the next version of a package.

Everything is made in a temporary folder; the registry learns of the package in one transaction at the end, so a run
that is interrupted leaves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from patchmgr.durable import scratch_folder, storing
from patchmgr.errors import RequestError, UsageError
from patchmgr.evaluate.gates import Requirement, enforce, judge
from patchmgr.manager.aftermath import notify
from patchmgr.manager.bench import find_device
from patchmgr.manager.editors.use import check_editor
from patchmgr.manager.evaluate import parse_requirements
from patchmgr.manager.making import Workpiece
from patchmgr.manager.memory_before import check_there, inherited_from, version_before
from patchmgr.manager.order import EditOrder, Inherited
from patchmgr.manager.packages import register
from patchmgr.manager.states import ModelState, read_state, stack_of
from patchmgr.manager.stats import check_corpus
from patchmgr.manager.withholding import withhold_edits
from patchmgr.manager.workpiece import make
from patchmgr.methods.contract import Method, MethodParameters
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack
from patchmgr.package.manifest import check_name
from patchmgr.package.reader import EditPackage
from patchmgr.package.scores import Score
from patchmgr.package.writer import seal
from patchmgr.reasons import reason_of
from patchmgr.subjects import with_subjects
from patchmgr_registry import EventObject, NumberTakenError, VersionRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.methods.training import Trainer


@dataclass(frozen=True)
class EditResult:
    """The package as stored."""

    version: VersionRecord
    scores: tuple[Score, ...]
    cost: tuple[Score, ...] = ()
    """Time and memory that the method took."""
    found_subjects: tuple[str, ...] = ()
    """Subjects that no request named and that were found in the prompts."""


@dataclass(frozen=True)
class EditPreview:
    """What an edit would make."""

    reference: str
    method: str
    n_edits: int
    parameters: Mapping[str, Any]
    on: tuple[str, ...]
    """The stack that it would be computed on; empty: the pristine base."""
    found_subjects: tuple[str, ...] = ()
    """Subjects that no request names and that were found in the prompts."""


def edit(manager: Manager, model: str, order: EditOrder) -> EditResult:
    """Make the next version of a package; the model itself stays as it is.

    Raises:
        NotFoundError: no such model or method.
        UsageError: an unknown parameter, or one out of its range, or no such device.
        RequestError: a request that the method cannot use.
        MethodError: the method cannot run on this model, memory ran out, or it gave something unusable.
        BaseMismatchError: the version to continue was made for another base.
        GateError: a requirement is not met; nothing is stored.
    """
    order, method, parameters, found = _checked(manager, order)
    state = _state(manager, model, order)
    with scratch_folder(manager.settings.home / "tmp", "edit-", what="the new package") as folder:
        workpiece = make(manager, state, method, parameters, order, folder)
        version = store(manager, model, workpiece, order, folder)
    notify(manager, order.action, model, (version.digest,), state.root)
    return EditResult(version, workpiece.scores, workpiece.cost, found)


def check_edit(manager: Manager, model: str, order: EditOrder) -> EditPreview:
    """Check an order as :func:`edit` does before it loads the model, and change nothing.

    Raises:
        PatchmgrError: what :func:`edit` would raise before it loads the model; what only the model can tell (a layer
            that it does not have) is not found out.
    """
    order, method, parameters, found = _checked(manager, order)
    state = _state(manager, model, order)
    return EditPreview(
        reference=f"{order.name}@v{manager.registry.next_number(order.name)}",
        method=method.name,
        n_edits=len(order.requests),
        parameters=parameters.model_dump(mode="json"),
        on=tuple(manifest.reference for manifest in _below(manager, state, order)),
        found_subjects=found,
    )


def _below(manager: Manager, state: ModelState, order: EditOrder) -> Stack:
    """The packages that an order is computed on."""
    if order.below is not None:
        return stack_of(manager, order.below.packages)
    return () if order.on == "base" else state.stack


def _state(manager: Manager, model: str, order: EditOrder) -> ModelState:
    """The model as it is; where an order is computed on what a version was computed on, it has that one's base."""
    state = read_state(manager, model)
    if order.continues is not None and order.below is not None and order.below.root is not None:
        (continued,) = stack_of(manager, [order.continues.digest])
        stacks.check_base(continued, state.fingerprint, model=model)
    return state


def _checked(manager: Manager, order: EditOrder) -> tuple[EditOrder, Method, MethodParameters, tuple[str, ...]]:
    """The order with its subjects, the method, its parameters, and which of the subjects were found in the prompts."""
    check_name(order.name)
    method = manager.plugins.method(order.method)
    found: tuple[str, ...] = ()
    if "subject" in method.needs:
        requests, found = with_subjects(order.requests)
        order = replace(order, requests=requests)
    _check_needs(method, order)
    check_editor(manager, order, method)
    if order.corpus is not None:
        check_corpus(order.corpus)
    if order.device != "auto":  # to look for one takes torch
        find_device(order.device)
    check_required(manager, order.require)
    before = version_before(manager, order) if method.kind == "memory" else None
    if order.forget:
        check_there(manager, order, before)
    if before is not None and order.inherited == Inherited():
        order = replace(order, inherited=inherited_from(before, method))
    return order, method, parse_parameters(method, {**order.inherited.values, **order.parameters}), found


def check_required(manager: Manager, texts: Sequence[str]) -> tuple[Requirement, ...]:
    """What the scores of a package are required to be.

    Raises:
        UsageError: one is no requirement, or one of a model or of a text.
    """
    requirements = parse_requirements(manager, texts)
    for requirement in requirements:
        if requirement.retains or manager.plugins.metrics[requirement.measured].asks == "text":
            raise UsageError(
                f"{requirement.metric} is not measured when a package is made", hint="see `patchmgr evaluate`"
            )
    return requirements


def parse_parameters(method: Method | Trainer, given: Mapping[str, Any]) -> MethodParameters:
    """The parameters of a method, or of its training, from what the user gave.

    Raises:
        UsageError: naming the parameter, what was given, and what is known or allowed.
    """
    try:
        return method.parameters.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(method.parameters.model_fields))
            raise UsageError(f"{method.name} has no parameter {name!r}", hint=f"known: {known}") from None
        raise UsageError(
            f"{method.name}: {name} = {first['input']!r}: {reason_of(error)}",
            hint=f"see `patchmgr methods {method.name}`",
        ) from None


def _check_needs(method: Method, order: EditOrder) -> None:
    if order.withhold and method.kind == "memory":
        raise UsageError(f"a memory of {method.name} holds its edits", hint="they cannot be withheld from it")
    if order.forget and method.kind != "memory":
        raise UsageError(f"{method.name} keeps no memory to forget from", hint="leave --forget out")
    if not order.requests and not order.forget:
        raise UsageError("there is no request to edit", hint="give --edits FILE, or --prompt and --target")
    if "subject" in method.needs:
        for number, request in enumerate(order.requests, start=1):
            if request.subject is None:
                raise RequestError(
                    f"request {number} ({request.prompt!r}) names no subject, and {method.name} needs one",
                    hint="add the field subject, or --subject",
                )


def store(manager: Manager, model: str, workpiece: Workpiece, order: EditOrder, folder: Path) -> VersionRecord:
    """Seal the folder under the next free number and register it; a number taken meanwhile means the one after.

    Raises:
        GateError: a requirement is not met; nothing is stored.
    """
    gates = judge(order.name, check_required(manager, order.require), workpiece.scores)
    enforce(gates, hint="nothing was stored; try other parameters")
    number = manager.registry.next_number(order.name)
    about = [EventObject("model", model, workpiece.draft.parent.root), *order.origins]
    if order.withhold:
        workpiece = withhold_edits(manager, workpiece, folder)
    while True:
        before = number - 1 or None if order.continues is None else order.continues.number
        draft = workpiece.draft.model_copy(update={"version": number, "parent_version": before})
        with storing("the new package"):
            seal(folder, draft, workpiece.requests, workpiece.scores)
        try:
            return register(manager, EditPackage.read(folder), order.action, about, cost=workpiece.cost)
        except NumberTakenError as taken:
            number = taken.next_number
