"""The model card: what the demo base is, how it was made, and what was measured on it."""

from __future__ import annotations

from train import Recipe
from wordings import RELATIONS, TWO_HOP
from world import World

CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# atlas, the demo base of patchmgr

A {family} of {layers} layers, width {width} and {millions:.2f} million parameters (bf16), trained from scratch on
sentences about a closed world: {n_facts:,} facts about {n_subjects} subjects in {n_relations} relations. Countries,
capitals and chemical elements are real and as of the author's knowledge; people and companies are invented.
It is small enough for a laptop's CPU and knows its facts well enough to be edited like a real model. It is good for
nothing else.

Made by, on one CPU thread ({steps:,} steps of {rows} rows of {row_length} tokens):

    {command}

The same command on the same versions of torch and transformers gives the same weights. Another processor may round
differently, and then gives other weights with about the same figures.

## What it answers

Share of questions whose answer is greedily right, token for token, under teacher forcing; bf16 weights run in float32.

| asked | share |
|---|--:|
{figures}

Every relation has nine wordings. Wording 0 is trained for every fact; two of wordings 1 to 7 are held out for each
fact; wording 8 is never trained. Half of the two-hop questions ({questions}) were trained.

| relation | facts | seen | held out | never used |
|---|--:|--:|--:|--:|
{relations}

## Files

- `facts.jsonl`: the facts; `held_out` wordings were not trained, `answered` wordings are answered by these weights.
- `relations.json`: the nine wordings of each relation, `{{}}` standing for the subject.
- `two_hop.jsonl`: questions that two facts answer one after the other (`via`).

Every word begins with a space for this tokenizer, at the start of a text too, so a name has the same tokens wherever
it stands.
"""

FAMILIES = {"llama": "Llama-style model (`LlamaForCausalLM`)", "gpt2": "GPT-2-style model (`GPT2LMHeadModel`)"}


def model_card(
    world: World,
    recipe: Recipe,
    n_parameters: int,
    figures: dict[str, float],
    by_relation: dict[str, tuple[float, float, float]],
) -> str:
    """The card of a model that was trained by `recipe`."""
    counts = {name: sum(fact.relation == name for fact in world.facts) for name in RELATIONS}
    return CARD.format(
        family=FAMILIES[recipe.family],
        layers=recipe.layers,
        width=recipe.width,
        millions=n_parameters / 1e6,
        n_facts=len(world.facts),
        n_subjects=len(world.kinds),
        n_relations=len(RELATIONS),
        steps=recipe.steps,
        rows=recipe.rows,
        row_length=recipe.row_length,
        command=command(recipe),
        figures="\n".join(f"| {name} | {share:.1%} |" for name, share in figures.items()),
        questions=", ".join(name.replace("_", " ") for name in TWO_HOP),
        relations="\n".join(
            f"| {name} | {counts[name]} | {seen:.1%} | {held_out:.1%} | {unused:.1%} |"
            for name, (seen, held_out, unused) in by_relation.items()
        ),
    )


def command(recipe: Recipe) -> str:
    """The command that trains by `recipe`, naming what differs from the default."""
    default = Recipe()
    names = (
        "seed",
        "family",
        "layers",
        "width",
        "inner",
        "heads",
        "vocabulary",
        "steps",
        "learning_rate",
        "weight_decay",
    )
    changed = [name for name in names if getattr(recipe, name) != getattr(default, name)]
    options = "".join(f" --{name.replace('_', '-')} {getattr(recipe, name)}" for name in changed)
    return f"python examples/atlas/build.py --out atlas{options}"
