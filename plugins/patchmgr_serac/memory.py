"""SERAC at work: a question in the scope of an entry goes to the counterfactual model, the others to the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from patchmgr.errors import FormatError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Route
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr_serac.lookup import Lookup
from patchmgr_serac.networks import open_counterfactual, open_cross, open_encoder, parts_of
from patchmgr_serac.write import asked


@dataclass(frozen=True, eq=False)
class SeracMemory:
    """A bundle at work."""

    bundle: MemoryBundle
    lookup: Lookup
    threshold: float
    template: str
    answering: LoadedModel | None
    """The counterfactual model; None: the model below answers."""

    def route(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes: to the likeliest entry, if it is likelier than the threshold."""
        if not self.lookup.entries or not prompts:
            return [None] * len(prompts)
        found = self.lookup.ranked(prompts)
        scores, places = found.probabilities[:, 0].tolist(), found.places[:, 0].tolist()
        return [
            self._route(prompt, score, place) if score > self.threshold else None
            for prompt, score, place in zip(prompts, scores, places, strict=True)
        ]

    def _route(self, prompt: str, score: float, place: int) -> Route:
        text = asked(self.template, self.lookup.entries[place], prompt)
        return Route(text, (self.bundle.entries[place].id,), score, model=self.answering)


def open_bundle(bundle: MemoryBundle, device: str) -> SeracMemory:
    """A bundle that SERAC made.

    Raises:
        FormatError: it lacks a setting, its keys or a network.
        MethodError: a network of the scope classifier cannot be loaded.
        NotFoundError: the counterfactual model cannot be loaded.
    """
    settings = bundle.config.settings
    try:
        form, pooling, template = settings["router"], settings["pooling"], str(settings["template"])
        threshold, candidates = float(settings["threshold"]), int(settings["candidates"])
        own = settings["counterfactual"] == "own"
        parts = parts_of(form, own=own)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{bundle.reference}: memory.json lacks the setting {error}") from None
    missing = [part for part in parts if f"{part}/config.json" not in bundle.files]
    if missing or ("encoder" in parts and bundle.keys is None):
        raise FormatError(f"{bundle.reference} lacks its {missing[0] if missing else 'keys'}", hint="make it again")
    encoder = open_encoder(bundle.files, pooling, device) if "encoder" in parts else None
    cross = open_cross(bundle.files, device) if "cross" in parts else None
    keys = None if bundle.keys is None or encoder is None else torch.from_numpy(bundle.keys)
    entries = [(entry.prompt, entry.target) for entry in bundle.entries]
    answering = open_counterfactual(bundle.files, device) if own else None
    return SeracMemory(bundle, Lookup(entries, encoder, keys, cross, candidates), threshold, template, answering)
