"""LoRA and AdaLoRA at work on a model: adapters are trained in its twin and given as changes of low rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload
from patchmgr.request import EditRequest
from patchmgr_finetune.equations import answer_loss
from patchmgr_finetune.examples import batched, examples
from patchmgr_finetune.training import Gradients, Task, Variable, train
from patchmgr_finetune.twin import twin
from patchmgr_finetune.upper import Upper
from patchmgr_lora.adapters import Adapters, gives_up_ranks, import_peft
from patchmgr_lora.equations import orthogonality_loss
from patchmgr_lora.parameters import AdaLoraParameters, LoraParameters
from patchmgr_lora.targets import block_of, chosen_targets


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: LoraParameters, context: EditContext
) -> Payload:
    """One delta of low rank a target, for all requests together.

    Raises:
        RequestError: a target has no tokens, or a request is too long for the model.
        MethodError: peft is missing, a module cannot be changed, there are too few steps to give ranks up, or the loss
            is not finite.
    """
    import_peft()
    rows = examples(loaded, requests)
    architecture = find_architecture(twin(loaded.model), encoder_decoder=True)
    targets = chosen_targets(architecture, parameters.target_modules, parameters.layers)
    chunks = [rows[start : start + parameters.batch] for start in range(0, len(rows), parameters.batch)]
    n_steps = len(chunks) * parameters.steps
    _refuse_short(parameters, n_steps)
    lowest = _lowest(architecture, targets)
    uppers = [Upper(architecture, lowest, batched(architecture.model, some)) for some in chunks]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(context.seed)
        adapters = Adapters(architecture, targets, parameters, n_steps)

        def after_step(step: int, gradients: Gradients) -> None:
            adapters.allocate(step, gradients)

        trained = train(
            [Variable(value, parameters.learning_rate) for value in adapters.variables],
            [_task(upper, adapters, parameters) for upper in uppers],
            rounds=parameters.steps,
            stop_loss=parameters.stop_loss,
            after_step=after_step,
            progress=lambda done, total: context.progress(done, total, "training"),
        )
    factors = [target.factors(*pair) for target, pair in zip(targets, adapters.changes(), strict=True)]
    return Payload(
        deltas=[
            LowRankDelta(target.weight_name, u, v) for target, (u, v) in zip(targets, factors, strict=True) if u.size
        ],
        parameters={
            **parameters.model_dump(mode="json"),
            "sites": [
                {"module": target.name, "rank": u.shape[1]} for target, (u, _) in zip(targets, factors, strict=True)
            ],
            "rounds": trained.rounds,
            "loss": trained.loss,
        },
    )


def _refuse_short(parameters: LoraParameters, n_steps: int) -> None:
    if gives_up_ranks(parameters) and n_steps < 4:
        raise MethodError(
            f"AdaLoRA cannot choose ranks to give up in {n_steps} steps",
            hint="use steps=4, or begin with the rank that is wanted, as by initial_rank=8",
        )


def _lowest(architecture: Architecture, targets: Sequence[Projection]) -> int | None:
    """The lowest block of the decoder that changes; None: something outside of it does too."""
    blocks = [block_of(architecture, target.name) for target in targets]
    inside = [block for block in blocks if block is not None]
    return min(inside) if len(inside) == len(blocks) else None


def _task(upper: Upper, adapters: Adapters, parameters: LoraParameters) -> Task:
    batch = upper.batch

    def loss() -> Float[Tensor, ""]:
        logits = upper.logits()
        device = logits.device  # of the last block, where a model lies on several
        return answer_loss(logits, batch.at.to(device), batch.targets.to(device), batch.weights.to(logits))

    if not isinstance(parameters, AdaLoraParameters) or not parameters.orthogonality:
        return Task(loss, batch.n_examples)
    weight = parameters.orthogonality
    return Task(loss, batch.n_examples, lambda: weight * orthogonality_loss(adapters.vectors()))
