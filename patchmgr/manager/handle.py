"""One model of a registry, as the Python API gives it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from patchmgr.errors import UsageError
from patchmgr.manager.order import EditDtype, EditOrder
from patchmgr.manager.remaking.source import Wishes
from patchmgr.request import EditRequest, parse_request

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from patchmgr.live.routed import RoutedModel
    from patchmgr.manager.carry_out import Outcome
    from patchmgr.manager.edit import EditResult
    from patchmgr.manager.evaluate import Evaluation
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.remaking.merge import How, Merged
    from patchmgr.manager.remaking.rebase import Rebased
    from patchmgr.manager.remaking.reverting import Dependants, Reverted
    from patchmgr.manager.status import ModelStatus
    from patchmgr.ops.plan import Plan


class ModelHandle:
    """A model by name; it holds no weights and always tells the present."""

    def __init__(self, manager: Manager, name: str) -> None:
        self._manager = manager
        self.name = name

    def edit(
        self,
        name: str | None,
        requests: Iterable[EditRequest | Mapping[str, Any]],
        *,
        method: str | None = None,
        continues: str | None = None,
        message: str = "",
        on: Literal["current", "base"] = "current",
        seed: int | None = None,
        corpus: Path | None = None,
        editor: str | None = None,
        withhold: bool = False,
        device: str = "cpu",
        dtype: EditDtype = "auto",
        device_map: Literal["auto", "balanced", "sequential"] | None = None,
        **parameters: Any,
    ) -> EditResult:
        """Make the next version of package ``name``; the model stays as it is until :meth:`apply`.

        Args:
            name: of the package; None with ``continues``.
            requests: the edits.
            method: None: rome, or that of the version to continue.
            continues: a version whose edits the new one holds as well, computed on what that one was computed on;
                ``on`` says nothing then. See :func:`patchmgr.manager.remaking.going_on.continued_order`.
            message: why, for the history.
            on: the current state, or the base whatever is applied.
            seed: None: 0, or that of the version to continue.
            corpus: a text for statistics.
            editor: a trained editor, such as ``scope@v1``, for a method that needs one.
            withhold: the package carries digests of its edits and not their texts.
            device: cpu, cuda, cuda:N, mps or auto.
            dtype: what the model computes in; ``auto``: float32 on the processor, as stored elsewhere.
            device_map: spread the model over all devices, by accelerate.
            parameters: of the method.

        Raises:
            PatchmgrError: as :func:`patchmgr.manager.edit.edit`.
        """
        found = tuple(
            request if isinstance(request, EditRequest) else parse_request(dict(request), where=f"request {number}")
            for number, request in enumerate(requests, start=1)
        )
        given: dict[str, Any] = {
            "parameters": parameters,
            "message": message,
            "corpus": corpus,
            "editor": editor,
            "withhold": withhold,
            "device": device,
            "dtype": dtype,
            "device_map": device_map,
        }
        if continues is not None:
            order = self._manager.continued_order(continues, found, name=name, method=method, seed=seed, **given)
        elif name is None:
            raise UsageError("the package has no name", hint="give one, or `continues`")
        else:
            order = EditOrder(name, method or "rome", found, on=on, seed=seed or 0, **given)
        return self._manager.edit(self.name, order)

    def evaluate(self, *references: str, require: Sequence[str] = (), **how: Any) -> Evaluation:
        """Measure the model as it is, or packages that it need not have; the scores are kept.

        Args:
            references: packages; none: the model itself, every package of its stack included.
            require: such as ``reliability>=0.95``.
            how: the other fields of :class:`patchmgr.manager.evaluate.EvaluationOrder`.

        Raises:
            GateError: a requirement was not met; says which and by how much.
            PatchmgrError: as :func:`patchmgr.manager.evaluate.evaluate`.
        """
        from patchmgr.manager.evaluate import EvaluationOrder

        done = self._manager.evaluate(references or (self.name,), EvaluationOrder(require=tuple(require), **how))
        done.check()
        return done

    def plan(self, *references: str) -> Plan:
        """What :meth:`apply` would do."""
        return self._manager.plan(self.name, references)

    def apply(
        self, *references: str, message: str = "", require: Sequence[str] = (), allow_conflicts: bool = False
    ) -> Outcome:
        """Put packages on the stack; see :func:`patchmgr.manager.change.apply`."""
        return self._manager.apply(
            self.name, references, message=message, require=require, allow_conflicts=allow_conflicts
        )

    def revert(self, *references: str, cascade: bool = False, message: str = "") -> Outcome:
        """Take packages out of the stack; see :func:`patchmgr.manager.change.revert`."""
        return self._manager.revert(self.name, references, cascade=cascade, message=message)

    def take_out(
        self,
        *references: str,
        edits: Sequence[str] = (),
        dependants: Dependants = "refuse",
        apply: bool = True,
        measure: bool = True,
        **wishes: Any,
    ) -> Reverted:
        """Take out single edits, or packages that others were computed on.

        Args:
            references: packages of the stack; with ``edits`` one.
            edits: ids, places such as ``#3``, or prompts; a version without them takes the package's place.
            dependants: ``cascade``, ``rebase`` or ``force``: what becomes of packages that were computed on it.
            apply: False: only make the version without the edits.
            measure: False: do not measure what stays by force.
            wishes: fields of :class:`patchmgr.manager.remaking.source.Wishes`.

        Raises:
            PatchmgrError: as :func:`patchmgr.manager.remaking.reverting.take_out`.
        """
        return self._manager.take_out(
            self.name,
            references,
            Wishes(**wishes),
            edits=edits,
            dependants=dependants,
            apply=apply,
            measure=measure,
        )

    def rebase(self, reference: str, **wishes: Any) -> Rebased:
        """Make a package again on this model's state; see :func:`patchmgr.manager.remaking.rebase.rebase`.

        Args:
            reference: the version.
            wishes: fields of :class:`patchmgr.manager.remaking.source.Wishes`, such as ``on="base"``.
        """
        return self._manager.rebase(self.name, reference, Wishes(**wishes))

    def merge(
        self, name: str, *references: str, how: How = "joint", prefer: str | None = None, measure: bool = True,
        **wishes: Any,
    ) -> Merged:  # fmt: skip
        """Make one package from several; see :func:`patchmgr.manager.remaking.merge.merge`.

        Args:
            name: of the new package.
            references: the versions.
            how: ``joint``: edit again together; ``sum``: the changes side by side.
            prefer: the version whose edits win where they contradict each other.
            measure: False: store a sum without scores.
            wishes: fields of :class:`patchmgr.manager.remaking.source.Wishes`.
        """
        return self._manager.merge(
            self.name, name, references, Wishes(**wishes), how=how, prefer=prefer, measure=measure
        )

    def cherry_pick(
        self, reference: str, *edits: str, match: Sequence[str] = (), name: str | None = None, **wishes: Any
    ) -> EditResult:
        """Make some edits of a package again; see :func:`patchmgr.manager.remaking.cherry_pick.cherry_pick`.

        Args:
            reference: the version.
            edits: ids, places such as ``#3``, or prompts.
            match: texts; edits that hold one of them are taken too.
            name: of the new package; None: it is the next version of the same.
            wishes: fields of :class:`patchmgr.manager.remaking.source.Wishes`.
        """
        return self._manager.cherry_pick(self.name, reference, edits, Wishes(**wishes), match=match, name=name)

    def rollback(self, generation: int | None = None, *, message: str = "") -> Outcome:
        """Make the model what it was; see :func:`patchmgr.manager.change.rollback`."""
        return self._manager.rollback(self.name, generation, message=message)

    @property
    def status(self) -> ModelStatus:
        """Base, generation and stack."""
        return self._manager.status(self.name)[0]

    @property
    def path(self) -> Path:
        """The folder of the current state, an ordinary checkpoint; errors as those of ``patchmgr path``."""
        return self._manager.path(self.name)

    def load(
        self, *references: str, dtype: Literal["auto", "float32"] = "auto", device: str = "cpu"
    ) -> tuple[PreTrainedModel | RoutedModel, PreTrainedTokenizerBase]:
        """A transformers model and its tokenizer at the current state, or with packages tried on top of it.

        With memories at work the model is one that stands in for the transformers model and routes each prompt.
        Every byte is checked and nothing is written; see :func:`patchmgr.manager.load.load`.
        """
        from patchmgr.live.routed import RoutedModel

        loaded = self._manager.load(self.name, references, dtype=dtype, device=device)
        model = loaded.model if loaded.router is None else RoutedModel(loaded, loaded.router)
        return model, loaded.tokenizer

    def __repr__(self) -> str:
        return f"ModelHandle({self.name!r})"
