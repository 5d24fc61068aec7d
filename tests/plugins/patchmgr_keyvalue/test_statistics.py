"""C is what a naive sum over all tokens gives, and is found again only by the key that decided it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from patchmgr.errors import MethodError, NotFoundError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr_keyvalue.sampling import sample_rows
from patchmgr_keyvalue.statistics import second_moments
from tiny_models import INNER, tiny_model, tiny_tokenizer

TEXT = "Rome lies in Italy and Paris lies in France.\nThe capital of Atlantis is a city under the sea.\n" * 20


@pytest.fixture
def context(tmp_path):
    return EditContext(ArtefactStore(tmp_path / "artefacts"))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def loaded_model(name="gpt2", seed=0, dtype=torch.float32):
    return LoadedModel(tiny_model(name, seed=seed, dtype=dtype), tiny_tokenizer(), f"{name}-{seed}")


def moments(loaded, context, layers=(1,), n_tokens=200, seed=0):
    architecture = find_architecture(loaded.model)
    projections = [architecture.down_projection(layer) for layer in layers]
    return second_moments(loaded, projections, context, n_tokens=n_tokens, seed=seed)


def naive_moment(loaded, rows, n_start, layer):
    """Σ k kᵀ / n in float64, row by row, by full forward passes."""
    total, n_tokens, seen = torch.zeros(INNER, INNER, dtype=torch.float64), 0, []
    module = find_architecture(loaded.model).down_projection(layer).module
    handle = module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    for row in rows:
        with torch.no_grad():
            loaded.model(torch.tensor([row]))
        for key in seen.pop().reshape(len(row), -1)[n_start:].double():
            total += torch.outer(key, key)
            n_tokens += 1
    handle.remove()
    return total / n_tokens, n_tokens


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_the_moment_of_the_models_own_samples(name, context):
    loaded = loaded_model(name)
    rows = sample_rows(loaded.model, loaded.tokenizer, 4, 63, torch.Generator().manual_seed(5))
    (found,) = moments(loaded, context, seed=5)
    expected, n_tokens = naive_moment(loaded, rows.ids.tolist(), 1, 1)
    assert found.n_tokens == n_tokens == 4 * 63
    torch.testing.assert_close(found.matrix, expected, rtol=1e-4, atol=1e-5)


def test_the_moment_of_a_text_is_over_its_first_tokens(context, corpus):
    loaded = loaded_model()
    (found,) = moments(loaded, dataclasses.replace(context, corpus=corpus), n_tokens=100)
    ids = [token for line in TEXT.splitlines(keepends=True) for token in loaded.tokenizer(line)["input_ids"]]
    start = loaded.tokenizer.bos_token_id
    expected, n_tokens = naive_moment(loaded, [[start, *ids[:63]], [start, *ids[63:126]]], 1, 1)
    assert found.n_tokens == n_tokens
    torch.testing.assert_close(found.matrix, expected, rtol=1e-4, atol=1e-5)


def test_a_short_text_is_read_to_its_end(context, tmp_path):
    loaded = loaded_model()
    path = tmp_path / "short.txt"
    path.write_text("Rome lies in Italy", encoding="utf-8")
    (found,) = moments(loaded, dataclasses.replace(context, corpus=path), n_tokens=10_000)
    assert found.n_tokens == len(loaded.tokenizer("Rome lies in Italy")["input_ids"])


def test_an_empty_text_is_refused(context, tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("", encoding="utf-8")
    with pytest.raises(MethodError, match="holds no text"):
        moments(loaded_model(), dataclasses.replace(context, corpus=path))


def test_a_missing_text_is_named(context, tmp_path):
    with pytest.raises(NotFoundError, match=r"there is no corpus file '.*gone\.txt'"):
        moments(loaded_model(), dataclasses.replace(context, corpus=tmp_path / "gone.txt"))


def test_several_layers_are_read_in_one_pass(context):
    loaded = loaded_model()
    passes = []
    handle = loaded.model.transformer.h[0].register_forward_pre_hook(lambda *_: passes.append(1))
    both = moments(loaded, context, layers=(0, 2))
    n_passes = len(passes)
    handle.remove()
    alone = [moments(loaded, EditContext(ArtefactStore(context.artefacts.folder / str(i))), (i,)) for i in (0, 2)]
    assert n_passes == 64  # 63 to sample, one to read
    for together, (apart,) in zip(both, alone, strict=True):
        torch.testing.assert_close(together.matrix, apart.matrix)
        assert together.key == apart.key


def test_the_same_key_is_not_computed_again(context):
    loaded = loaded_model()
    (first,) = moments(loaded, context)
    loaded.model.forward = None  # a forward pass would fail
    (again,) = moments(loaded, context)
    assert again.sha256 == first.sha256
    assert torch.equal(again.matrix, first.matrix)


@pytest.mark.parametrize("other", ["model", "dtype", "seed", "tokens", "layer", "corpus", "corpus text"])
def test_whatever_decides_the_moment_is_in_its_key(other, context, corpus, tmp_path):
    (first,) = moments(loaded_model(), dataclasses.replace(context, corpus=corpus if "text" in other else None))
    changed = dataclasses.replace(context, corpus=corpus if "corpus" in other else None)
    if other == "corpus text":
        corpus.write_text(TEXT[5:], encoding="utf-8")
    loaded = loaded_model(
        seed=1 if other == "model" else 0, dtype=torch.bfloat16 if other == "dtype" else torch.float32
    )
    (second,) = moments(
        loaded,
        changed,
        layers=(2 if other == "layer" else 1,),
        seed=1 if other == "seed" else 0,
        n_tokens=400 if other == "tokens" else 200,
    )
    assert second.key != first.key
    assert not torch.equal(second.matrix, first.matrix)


def test_inputs_that_are_not_finite_are_reported(context):
    loaded = loaded_model()
    with torch.no_grad():
        loaded.model.transformer.h[1].mlp.c_fc.bias[0] = float("nan")
    with pytest.raises(MethodError, match=r"inputs of transformer\.h\.1\.mlp\.c_proj are not finite"):
        moments(loaded, dataclasses.replace(context, corpus=_written(context.artefacts.folder.parent / "t.txt")))


def _written(path):
    path.write_text(TEXT, encoding="utf-8")
    return path
