"""Asking a state many questions at once: each once, in batches by a token budget, and none that is known already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from patchmgr.errors import RequestError
from patchmgr.evaluate.branches import branches
from patchmgr.evaluate.store import AnswerStore
from patchmgr.metrics.contract import (
    EXTRA_TOKENS,
    Answer,
    Answers,
    Forced,
    ForcedAnswer,
    Free,
    FreeAnswer,
    Question,
    Text,
    TextAnswer,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from patchmgr.evaluate.task import PromptResult, PromptTask
    from patchmgr.methods.contract import LoadedModel

BATCH_TOKENS = 2048
"""Rows times padded length of a batch, unless told otherwise."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class State:
    """A state that can be asked; it is loaded only when there is something to ask."""

    root: str
    opened: Callable[[], AbstractContextManager[LoadedModel]]
    """The model at this state, for as long as the block lasts."""
    compute_dtype: str = "float32"
    device: str = "cpu"


def _silent(_done: int, _total: int, _what: str) -> None: ...


@dataclass(frozen=True)
class Engine:
    """How states are asked."""

    store: AnswerStore | None = None
    """Where answers are kept between runs; None: nowhere."""
    batch_tokens: int = BATCH_TOKENS
    progress: Callable[[int, int, str], None] = _silent
    _rows: dict[PreTrainedTokenizerBase, dict[Question, _Row]] = field(default_factory=dict, repr=False, compare=False)
    """Questions in tokens, by tokenizer."""

    def ask(self, state: State, questions: Iterable[Question], *, what: str = "measuring") -> Answers:
        """The answers of a state.

        What is found is stored batch by batch, so that a run that was interrupted goes on there.

        Raises:
            RequestError: a target without tokens of its own, or more than the model can read.
        """
        wanted = tuple(dict.fromkeys(questions))
        file = None
        if self.store is not None:
            file = self.store.of_state(state.root, compute_dtype=state.compute_dtype, device=state.device)
        known: dict[Question, Answer] = file.get(wanted) if file else {}
        missing = [question for question in wanted if question not in known]
        if missing:
            with state.opened() as loaded:
                for found in self._found(loaded, missing):
                    known |= found
                    if file is not None:
                        file.put(found)
                    self.progress(len(known), len(wanted), what)
        return Answers(state.root, {question: known[question] for question in wanted}, state.compute_dtype)

    def _found(self, loaded: LoadedModel, questions: Sequence[Question]) -> Iterator[Mapping[Question, Answer]]:
        """The answers, batch by batch."""
        prompts = [question for question in questions if not isinstance(question, Text)]
        for branch in branches(loaded, prompts):
            for job in self._jobs(branch.loaded, tuple(branch.asked)):
                yield branch.answers(_answered(branch.loaded, job, self.batch_tokens))
        for question in questions:
            if isinstance(question, Text):
                yield {question: _read_text(loaded, question, self.batch_tokens)}

    def _jobs(self, loaded: LoadedModel, questions: Sequence[Forced | Free]) -> Iterator[list[_Job]]:
        """Everything that is asked behind one prompt together, in batches of similar length."""
        rows = self._rows.setdefault(loaded.tokenizer, {})
        new = [question for question in questions if question not in rows]
        rows.update(zip(new, _tokens(loaded, new), strict=True))
        of_prompt: dict[tuple[int, ...], list[Forced | Free]] = {}
        for question in questions:
            of_prompt.setdefault(rows[question].prompt, []).append(question)
        jobs = [_job(prompt, asked, rows) for prompt, asked in of_prompt.items()]
        jobs.sort(key=lambda job: (job.task.n_free, job.task.width))
        rows_at_most = _rows_at_most(loaded)
        return batches(jobs, lambda job: job.task.width, self.batch_tokens, rows_at_most)


@dataclass(frozen=True)
class _Row:
    """A question in tokens."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...] = ()
    n_free: int = 0


@dataclass(frozen=True)
class _Job:
    """The questions behind one prompt, and what the model has to do for them."""

    task: PromptTask
    questions: tuple[tuple[Forced | Free, _Row], ...]


def batches(
    items: Sequence[_Item], width: Callable[[_Item], int], budget: int, rows_at_most: int
) -> Iterator[list[_Item]]:
    """Neighbours together, as many as fit: rows times the widest, and at least one.

    >>> list(batches([1, 2, 3, 9], lambda width: width, 6, 100))
    [[1, 2], [3], [9]]
    """
    batch: list[_Item] = []
    widest = 0
    for item in items:
        wider = max(widest, width(item))
        if batch and ((len(batch) + 1) * wider > budget or len(batch) == rows_at_most):
            yield batch
            batch, wider = [], width(item)
        batch.append(item)
        widest = wider
    if batch:
        yield batch


def _tokens(loaded: LoadedModel, questions: Sequence[Forced | Free]) -> list[_Row]:
    from patchmgr.methods.tokens import encode_all, encode_all_answered

    pairs = [(q.prompt, q.target if isinstance(q, Forced) else q.answer) for q in questions]
    answered = iter(
        encode_all_answered(loaded.tokenizer, [pair for pair in pairs if pair[1]], apart=loaded.encoder_decoder)
    )
    free = [question.prompt for question in questions if isinstance(question, Free)]
    alone = iter(encode_all(loaded.tokenizer, free))
    rows = []
    for question, (_, answer) in zip(questions, pairs, strict=True):
        row = next(answered) if answer else None
        if isinstance(question, Free):
            n_free = question.max_tokens or (len(row.answer) if row else 0) + EXTRA_TOKENS
            rows.append(_Row(tuple(next(alone)), n_free=n_free))
        else:
            assert row is not None
            rows.append(_Row(row.prompt, row.answer))
        n_prompt, n_behind = len(rows[-1].prompt), len(rows[-1].answer) + rows[-1].n_free
        _check_length(
            loaded, question.prompt, max(n_prompt, n_behind) if loaded.encoder_decoder else n_prompt + n_behind
        )
    return rows


def _job(prompt: tuple[int, ...], questions: Sequence[Forced | Free], rows: Mapping[Question, _Row]) -> _Job:
    from patchmgr.evaluate.task import PromptTask

    of_job = tuple((question, rows[question]) for question in questions)
    answers = tuple(dict.fromkeys(row.answer for _, row in of_job if row.answer))
    return _Job(PromptTask(prompt, answers, max(row.n_free for _, row in of_job)), of_job)


def _answered(loaded: LoadedModel, jobs: Sequence[_Job], batch_tokens: int) -> dict[Question, Answer]:
    from patchmgr.evaluate.forward import run_prompts
    from patchmgr.evaluate.seq2seq import run_seq2seq

    run = run_seq2seq if loaded.encoder_decoder else run_prompts
    results = run(loaded, [job.task for job in jobs], batch_tokens=batch_tokens)
    return {
        question: _answer(loaded, job.task, row, result)
        for job, result in zip(jobs, results, strict=True)
        for question, row in job.questions
    }


def _answer(loaded: LoadedModel, task: PromptTask, row: _Row, result: PromptResult) -> Answer:
    if row.n_free:
        tokens = result.free[: row.n_free]
        return FreeAnswer(str(loaded.tokenizer.decode(list(tokens), skip_special_tokens=True)), len(tokens))
    place = task.answers.index(row.answer)
    return ForcedAnswer(row.answer, result.found[place], result.log_probabilities[place])


def _read_text(loaded: LoadedModel, question: Text, batch_tokens: int) -> TextAnswer:
    from patchmgr.evaluate.forward import run_windows
    from patchmgr.evaluate.task import MAX_LOGITS
    from patchmgr.methods.tokens import encode_all

    if loaded.encoder_decoder:
        raise RequestError("an encoder-decoder predicts no text by itself", hint="leave --text and perplexity out")
    (ids,) = encode_all(loaded.tokenizer, [question.text])
    size = min(question.window, _limit(loaded) or question.window)
    windows = [ids[start : start + size] for start in range(0, len(ids), size)]
    windows = [window for window in windows if len(window) > 1]
    if not windows:
        raise RequestError("the text is too short to be predicted", hint="give a text of some sentences to --text")
    budget = min(batch_tokens, MAX_LOGITS // _vocabulary(loaded))
    nats = [
        value
        for batch in batches(windows, len, budget, rows_at_most=len(windows))
        for value in run_windows(loaded, batch)
    ]
    return TextAnswer(tuple(nats), tuple(len(window) - 1 for window in windows))


def _check_length(loaded: LoadedModel, prompt: str, n_tokens: int) -> None:
    limit = _limit(loaded)
    if limit is not None and n_tokens > limit:
        raise RequestError(
            f"{prompt[:40]!r}… takes {n_tokens} tokens with its answer, the model reads {limit}", hint="shorten it"
        )


def _limit(loaded: LoadedModel) -> int | None:
    limit: int | None = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return limit


def _vocabulary(loaded: LoadedModel) -> int:
    return int(loaded.model.config.get_text_config(decoder=True).vocab_size)


def _rows_at_most(loaded: LoadedModel) -> int:
    from patchmgr.evaluate.task import MAX_LOGITS

    return max(1, MAX_LOGITS // (4 * _vocabulary(loaded)))
