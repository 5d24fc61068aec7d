"""What is asked of an edit: by which method, on which state, and which versions it goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from patchmgr.request import EditRequest
from patchmgr_registry import EventObject

EditDtype = Literal["auto", "float32", "bfloat16", "float16"]
DeviceMap = Literal["auto", "balanced", "sequential"]


@dataclass(frozen=True)
class Continued:
    """The version that the new one goes on from: its parent version."""

    reference: str
    digest: str
    number: int
    replaced: tuple[EditRequest, ...] = ()
    """Its edits whose place new ones take."""


@dataclass(frozen=True)
class Below:
    """A state to compute on, by its packages."""

    packages: tuple[str, ...]
    """Digests, in order; only packages of weights."""
    root: str | None = None
    """What it must be: a version that is continued was computed on it. None: it never was before."""


@dataclass(frozen=True)
class Inherited:
    """Parameters that are taken over from versions."""

    values: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] | None = ()
    """Names of those that somebody gave; None: the versions do not say."""


@dataclass(frozen=True)
class EditOrder:
    """What to edit, by which method, and what the package shall be called."""

    name: str
    method: str
    requests: tuple[EditRequest, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As the user gave them; the method's own schema parses strings."""
    message: str = ""
    on: Literal["current", "base"] = "current"
    """Compute on the current state, or on the pristine base whatever is applied."""
    seed: int = 0
    corpus: Path | None = None
    """A text file for statistics; None: the model's own samples."""
    editor: str | None = None
    """Reference of the trained editor, for a method that needs one."""
    license: str | None = None
    forget: tuple[str, ...] = ()
    """Edits that a memory shall not have any more, as :func:`patchmgr.manager.remaking.picking.find` takes them."""
    inherited: Inherited = Inherited()
    """Parameters where ``parameters`` says nothing."""
    below: Below | None = None
    """Compute on this state; ``on`` says nothing then."""
    continues: Continued | None = None
    """The parent version; None: the one before of the same name."""
    origins: tuple[EventObject, ...] = ()
    """Versions that its edits come from, as the event names them."""
    anew: bool = False
    """A memory remembers nothing of the version before."""
    action: str = "edit"
    """What the event is called."""
    measure: int | None = None
    """Measure at most so many edits, drawn by relation with the seed; None: all that are new."""
    withhold: bool = False
    """The package carries digests of its edits and not their texts."""
    require: tuple[str, ...] = ()
    """What its scores must be to be stored, such as ``reliability>=0.95``."""
    device: str = "cpu"
    """cpu, cuda, cuda:N, mps or auto."""
    dtype: EditDtype = "auto"
    """What the model computes in; ``auto``: float32 on the processor, as stored elsewhere. Solves are in float64."""
    device_map: DeviceMap | None = None
    """Spread the model over all devices in this way of accelerate's; ``device`` says nothing then."""

    @property
    def given(self) -> tuple[str, ...] | None:
        """Names of the parameters that somebody gave, sorted; None: it is not known of those that are inherited."""
        known = self.inherited.given
        return None if known is None else tuple(sorted({*known, *self.parameters}))
