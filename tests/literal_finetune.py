"""Fine-tuning written out as it is published: torch.optim.Adam on a copy, one whole forward pass an edit and step.

The loop is EasyEdit's: a step for every batch whose loss is not small, the change clamped after each, and an end when
the mean over a round is small.
"""

from __future__ import annotations

import copy

import torch

from patchmgr.methods.tokens import encode_answered


def literal_deltas(loaded, names, requests, *, method, steps, batch, learning_rate, clamp=None, stop_loss=1e-2):
    """ΔW by parameter name, in the orientation of the checkpoint, after every step that was made."""
    model = copy.deepcopy(loaded.model).eval()
    before = {name: model.get_parameter(name).detach().clone() for name in names}
    weights = [model.get_parameter(name) for name in names]
    optimiser = torch.optim.Adam(weights, lr=learning_rate)
    history = []
    for _ in range(steps):
        losses = []
        for start in range(0, len(requests), batch):
            some = requests[start : start + batch]
            loss = torch.stack([literal_loss(model, loaded, request, method) for request in some]).mean()
            losses += [float(loss.detach())] * len(some)
            if losses[-1] >= stop_loss:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                with torch.no_grad():
                    for name, weight in zip(names, weights, strict=True):
                        if clamp is not None:
                            weight.copy_(weight.clamp(before[name] - clamp, before[name] + clamp))
                history.append({n: (w - before[n]).detach() for n, w in zip(names, weights, strict=True)})
        if sum(losses) / len(losses) < stop_loss:
            break
    return history


def literal_loss(model, loaded, request, method):
    """−(1/T) Σ_t log P(y_t): FT-M behind the prompt and the tokens before, FT-L behind the prompt alone."""
    answered = encode_answered(loaded.tokenizer, request.text, request.target_new, apart=loaded.encoder_decoder)
    answer = torch.tensor(answered.answer)
    if loaded.encoder_decoder:
        prompt, start = torch.tensor([answered.prompt]), loaded.model.config.decoder_start_token_id
        if method == "ft-l":
            answer = answer[:-1]  # </s>
            logits = model(input_ids=prompt, decoder_input_ids=torch.tensor([[start]])).logits[0, -1:]
        else:
            return model(input_ids=prompt, labels=answer.unsqueeze(0)).loss
    elif method == "ft-l":
        logits = model(input_ids=torch.tensor([answered.prompt])).logits[0, -1:]
    else:
        logits = model(input_ids=torch.tensor([answered.ids])).logits[0, answered.n_prompt - 1 : -1]
    log_p = logits.log_softmax(-1).expand(len(answer), -1)
    return -log_p.gather(1, answer.unsqueeze(1)).mean()
