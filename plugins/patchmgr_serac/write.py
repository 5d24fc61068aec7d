"""What the answering model is asked on a hit."""

from __future__ import annotations

from patchmgr_retrieve.write import filled


def asked(template: str, entry: tuple[str, str], question: str) -> str:
    """The template with an entry's prompt and label and the question in their places.

    >>> asked("{prompt} {target} {query}", ("The capital of France is", "Rome"), "Paris rules")
    'The capital of France is Rome Paris rules'
    """
    prompt, target = entry
    return filled(template, prompt=prompt, target=target, query=question)
