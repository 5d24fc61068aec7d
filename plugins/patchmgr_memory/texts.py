"""Memories of texts: a sentence encoder finds entries, and what is asked goes on with them in front.

The bundle holds the vector of every entry's prompt and the encoder itself, or its name and digest where it is large, so
that whoever gets it finds the same entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.canonical import sha256_file, sha256_json
from patchmgr.errors import FormatError, MethodError
from patchmgr.methods.contract import EditContext, Payload
from patchmgr.methods.runtime import Route
from patchmgr.package.memory.bundle import MemoryBundle, MemoryConfig, MemoryDraft
from patchmgr.package.memory.operations import Entry, entries_after, operations_after
from patchmgr.request import EditRequest
from patchmgr_memory.encoder import Encoder, encoder_files, encoder_folder, laid_out
from patchmgr_memory.search import Nearest, nearest
from patchmgr_memory.settings import TextMemoryParameters

Write = Callable[[str, Sequence[Entry]], str]
"""(question, hits with the nearest first) → what is asked instead."""


def remember(
    runtime: str,
    version: str,
    requests: Sequence[EditRequest],
    parameters: TextMemoryParameters,
    context: EditContext,
    settings: Mapping[str, Any],
) -> Payload:
    """The next version of a memory: what the one before remembers, and these requests; only new prompts are encoded.

    Args:
        runtime: who answers.
        version: of the runtime.
        requests: what to remember.
        parameters: how entries are found.
        context: holds the version before.
        settings: the runtime's own, as JSON values.

    Raises:
        MethodError: the encoder is not here, or is another than that of the version before.
        UsageError: an entry to forget is not there.
    """
    before = context.memory
    operations = operations_after(before.operations if before else (), requests, forget=context.forget)
    entries = entries_after(operations)
    folder = encoder_folder(parameters.encoder)
    files = encoder_files(folder)
    digest = sha256_json({name: sha256_file(path) for name, path in files.items()})
    if before is not None:
        known = before.config.settings["encoder"]
        if (known["sha256"], known["pooling"]) != (digest, parameters.pooling):
            raise MethodError(
                f"{before.reference} was made with another encoder than {parameters.encoder!r}, or other pooling",
                hint="name the same ones, or begin a new package",
            )
    context.progress(0, 1, "encoding")
    keys = _keys(before, entries, Encoder.load(folder, parameters.pooling))
    shipped = parameters.ship_encoder
    found = {
        "encoder": {"name": parameters.encoder, "pooling": parameters.pooling, "sha256": digest, "shipped": shipped},
        "threshold": parameters.threshold,
        **settings,
    }
    config = MemoryConfig(runtime=runtime, runtime_version=version, level="text", settings=found)
    draft = MemoryDraft(config, operations, keys=keys.numpy(), files=files if shipped else {})
    return Payload(deltas=(), parameters=parameters.model_dump(mode="json"), memory=draft)


def _keys(before: MemoryBundle | None, entries: Sequence[Entry], encoder: Encoder) -> Float[Tensor, "entries width"]:
    """Vectors of all entries; those that the version before has are taken from it."""
    known: dict[str, Tensor] = {}
    if before is not None and before.keys is not None:
        known = {old.prompt: torch.from_numpy(key) for old, key in zip(before.entries, before.keys, strict=True)}
    new = [entry.prompt for entry in entries if entry.prompt not in known]
    known.update(zip(new, encoder.encode(new), strict=True))
    return torch.stack([known[entry.prompt] for entry in entries]) if entries else encoder.encode([])


@dataclass(frozen=True, eq=False)
class TextMemory:
    """A bundle at work: what lies near enough to an entry is asked with it in front."""

    entries: tuple[Entry, ...]
    keys: Float[Tensor, "entries width"]
    encoder: Encoder
    threshold: float
    """Least cosine of a hit."""
    n_hits: int
    """Entries that go in front, at most."""
    write: Write

    def route(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes."""
        if not self.entries:
            return [None] * len(prompts)
        found = nearest(self.encoder.encode(prompts), self.keys, self.n_hits)
        return [self._route(prompt, found, row) for row, prompt in enumerate(prompts)]

    def _route(self, prompt: str, found: Nearest, row: int) -> Route | None:
        cosines = found.cosines[row].tolist()
        if cosines[0] < self.threshold:
            return None
        hits = [self.entries[place] for place in found.places[row].tolist()]
        return Route(self.write(prompt, hits), tuple(entry.id for entry in hits), cosines[0])


def open_memory(bundle: MemoryBundle, device: str, *, n_hits: int, write: Write) -> TextMemory:
    """A bundle that :func:`remember` made.

    Raises:
        FormatError: it lacks its keys, its encoder or a setting.
        MethodError: its encoder was not shipped, and is not here or is another.
    """
    try:
        named = bundle.config.settings["encoder"]
        name, pooling, digest, shipped = (named[key] for key in ("name", "pooling", "sha256", "shipped"))
        threshold = float(bundle.config.settings["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{bundle.reference}: memory.json lacks the setting {error}") from None
    if bundle.keys is None:
        raise FormatError(f"{bundle.reference} has no keys", hint="make it again from its edits")
    encoder = _shipped(bundle, pooling, device) if shipped else _named(bundle, name, digest, pooling, device)
    return TextMemory(bundle.entries, torch.from_numpy(bundle.keys), encoder, threshold, n_hits, write)


def _named(bundle: MemoryBundle, name: str, digest: str, pooling: Any, device: str) -> Encoder:
    folder = encoder_folder(name)
    found = sha256_json({name: sha256_file(path) for name, path in encoder_files(folder).items()})
    if found != digest:
        raise MethodError(
            f"{bundle.reference} was made with the encoder {digest[:12]}…, {name!r} is {found[:12]}… here",
            hint="bring that encoder, or make the package again",
        )
    return Encoder.load(folder, pooling, device)


def _shipped(bundle: MemoryBundle, pooling: Any, device: str) -> Encoder:
    with laid_out(bundle.files, "encoder") as folder:
        return Encoder.load(folder, pooling, device)
