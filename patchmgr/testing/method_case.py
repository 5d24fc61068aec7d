"""The suite that every editing method must pass; subclass it and name the method."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from patchmgr.errors import RequestError
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel, Method, MethodParameters, Need, Payload
from patchmgr.methods.loader import load_plugins
from patchmgr.methods.runtime import Memory, opened
from patchmgr.methods.tokens import encode_answered
from patchmgr.package.memory.bundle import MemoryDraft, read_bundle, write_bundle
from patchmgr.request import EditRequest
from patchmgr.testing.payloads import arrays_of, changed_values, check_fits
from patchmgr.testing.snapshot import snapshot
from patchmgr.testing.tiny import tiny_loaded_model


class MethodTestCase:
    """What the core relies on, one promise a test.

    A subclass sets :attr:`method`, and :attr:`parameters` where the defaults are too slow for a tiny model. It may
    override :meth:`loaded` to be tried on a model of its own.
    """

    __test__ = False
    """Pytest leaves this class itself alone; a subclass is collected again."""

    method: ClassVar[Method]
    parameters: ClassVar[Mapping[str, Any]] = {}
    _payload: ClassVar[Payload]
    requests: ClassVar[Sequence[EditRequest]] = (
        EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome"),
        EditRequest(prompt="Ada Lovelace wrote for a", subject="Ada Lovelace", target_new="tower"),
    )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__test__ = True

    @pytest.fixture
    def loaded(self) -> LoadedModel:
        """The model to edit, the same at every call."""
        return tiny_loaded_model()

    @pytest.fixture
    def context(self, tmp_path: Path) -> EditContext:
        """An empty artefact store and seed 7."""
        return EditContext(ArtefactStore(tmp_path / "artefacts"), seed=7)

    def run(self, loaded: LoadedModel, context: EditContext, requests: Sequence[EditRequest] | None = None) -> Payload:
        """The method with :attr:`parameters` on :attr:`requests`, or on others."""
        settings = self.method.parameters(**self.parameters)
        return self.method.edit(loaded, self.requests if requests is None else requests, settings, context)

    def payload(self, loaded: LoadedModel, context: EditContext) -> Payload:
        """What :meth:`run` gives on :attr:`requests`; several tests look at one run, made by the first of them."""
        if "_payload" not in vars(type(self)):
            type(self)._payload = self.run(loaded, context)
        return type(self)._payload

    def test_the_visiting_card_is_complete(self) -> None:
        """Name, version, paper, kind and needs are what the core can show and use."""
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", self.method.name)
        assert self.method.version
        assert self.method.paper
        assert self.method.kind in ("weights", "memory")
        assert self.method.needs <= set(get_args(Need))
        assert issubclass(self.method.parameters, MethodParameters)

    def test_every_parameter_has_a_default_and_a_description(self) -> None:
        """A method runs without settings, and each setting can be explained."""
        for name, info in self.method.parameters.model_fields.items():
            assert not info.is_required(), name
            assert info.description, name

    def test_an_unknown_parameter_is_refused(self) -> None:
        """A misspelt setting does not pass silently."""
        with pytest.raises(ValidationError, match="no_such_parameter"):
            self.method.parameters(**{"no_such_parameter": 1})

    def test_editing_leaves_the_model_bit_for_bit_as_it_was(self, loaded: LoadedModel, context: EditContext) -> None:
        """Weights, modes, gradients, hooks and torch's generator are untouched, in training mode too."""
        loaded.model.train()
        next(loaded.model.parameters()).requires_grad_(False)
        before, generator = snapshot(loaded.model), torch.random.get_rng_state()
        self.run(loaded, context)
        assert snapshot(loaded.model) == before
        assert torch.equal(torch.random.get_rng_state(), generator)

    @pytest.mark.parametrize("calls", [1, 3])
    def test_an_interrupt_leaves_the_model_bit_for_bit_as_it_was(
        self, loaded: LoadedModel, context: EditContext, calls: int
    ) -> None:
        """Ctrl-C in the middle is no excuse."""
        remaining = calls

        def interrupt(_done: int, _total: int, _what: str) -> None:
            nonlocal remaining
            remaining -= 1
            if remaining == 0:
                raise KeyboardInterrupt

        before = snapshot(loaded.model)
        interrupted = EditContext(context.artefacts, seed=context.seed, progress=interrupt)
        try:
            self.run(loaded, interrupted)
        except KeyboardInterrupt:
            pass
        else:
            assert remaining > 0, "the method swallowed a KeyboardInterrupt"
        assert snapshot(loaded.model) == before

    def test_the_same_seed_gives_the_same_payload(self, loaded: LoadedModel, context: EditContext) -> None:
        """Also when the artefacts are there already."""
        first, second = self.payload(loaded, context), self.run(loaded, context)
        assert first.parameters == second.parameters
        assert list(first.contexts) == list(second.contexts)
        assert first.artefacts == second.artefacts
        for ours, theirs in zip(first.deltas, second.deltas, strict=True):
            assert type(ours) is type(theirs)
            assert ours.module_weight == theirs.module_weight
            left, right = arrays_of(ours), arrays_of(theirs)
            assert left.keys() == right.keys()
            assert all(np.array_equal(left[name], right[name]) for name in left)

    def test_deltas_are_finite_float32_with_the_shape_of_the_weight_they_name(
        self, loaded: LoadedModel, context: EditContext
    ) -> None:
        """``u @ v`` can be added to the checkpoint's tensor as it lies there, and so can any other delta."""
        payload = self.payload(loaded, context)
        assert bool(payload.deltas) == (self.method.kind == "weights")
        for delta in payload.deltas:
            assert check_fits(delta, tuple(loaded.model.get_parameter(delta.module_weight).shape))

    def test_the_payload_names_every_parameter_as_plain_json(self, loaded: LoadedModel, context: EditContext) -> None:
        """What was used can be written down whole, defaults included."""
        payload = self.payload(loaded, context)
        assert json.loads(json.dumps(payload.parameters, allow_nan=False)) == payload.parameters
        assert set(self.method.parameters.model_fields) <= set(payload.parameters)

    def test_an_edit_makes_its_target_likelier(self, loaded: LoadedModel, context: EditContext) -> None:
        """Each edit by itself, measured on a copy of the model that carries its deltas.

        A memory, opened from its written bundle by the runtime of the same name, claims the prompt instead.
        """
        for request in self.requests:
            payload = self.run(loaded, context, [request])
            if payload.memory is not None:
                assert memory_of(payload.memory, loaded).route([request.text])[0] is not None, request.text
                continue
            edited = LoadedModel(changed_copy(loaded.model, payload), loaded.tokenizer, "edited")
            assert target_log_probability(edited, request) > target_log_probability(loaded, request), request.text

    def test_a_request_without_subject_is_refused_where_one_is_needed(
        self, loaded: LoadedModel, context: EditContext
    ) -> None:
        """And the request is named; elsewhere it is taken."""
        request = EditRequest(prompt="It was a", target_new="city", id="the-bare-one")
        if "subject" in self.method.needs:
            with pytest.raises(RequestError, match="the-bare-one"):
                self.run(loaded, context, [request])
        else:
            payload = self.run(loaded, context, [request])
            assert payload.deltas or payload.memory


def memory_of(draft: MemoryDraft, loaded: LoadedModel) -> Memory:
    """A bundle as it works after it was written and read, before a model or inside it."""
    with TemporaryDirectory() as folder:
        write_bundle(Path(folder), draft)
        files = {path.relative_to(folder).as_posix(): path for path in Path(folder).rglob("*") if path.is_file()}
        bundle = read_bundle("the bundle", files)
        return opened(load_plugins().runtime(bundle.config.runtime, wanted_by="the bundle"), bundle, loaded)


def changed_copy(model: Any, payload: Payload) -> Any:
    """A copy of the model that carries the payload's deltas."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for delta in payload.deltas:
            weight = changed.get_parameter(delta.module_weight)
            weight.copy_(torch.from_numpy(changed_values(delta, weight.double().numpy())))
    return changed


def target_log_probability(loaded: LoadedModel, request: EditRequest) -> float:
    """Mean log P of the target's tokens after the prompt; of an encoder-decoder, with those that end it."""
    apart = loaded.encoder_decoder
    answered = encode_answered(loaded.tokenizer, request.text, request.target_new, apart=apart)
    model: nn.Module = loaded.model
    with torch.no_grad():
        if apart:
            labels = torch.tensor([answered.answer])
            logits = model(input_ids=torch.tensor([answered.prompt]), labels=labels).logits[0].float()
        else:
            logits = model(input_ids=torch.tensor([answered.ids])).logits[0, answered.n_prompt - 1 : -1].float()
    log_p = logits.log_softmax(-1)
    return float(log_p.gather(1, torch.tensor(answered.answer).unsqueeze(1)).mean())
