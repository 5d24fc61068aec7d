"""Edit requests: what a model shall say, and the probes that tell whether it learned that and nothing else.

A file of requests is JSON lines, one request a line; :func:`read_requests` parses it strictly and names file, line and
field of the first thing that is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from patchmgr.canonical import canonical_json
from patchmgr.errors import NotFoundError, RequestError
from patchmgr.reasons import reason_of

SUBJECT_MARK = "{}"


def _whole(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{text[:60]!r} holds half a character, which is no text")
    return text


_Word = Annotated[str, AfterValidator(_whole)]
_Text = Annotated[str, Field(min_length=1), AfterValidator(_whole)]


class _Value(BaseModel):
    """A frozen value that knows exactly its own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Probe(_Value):
    """A prompt and the answer expected after it, with no leading space on the answer."""

    prompt: _Text
    target: _Text
    kind: _Word | None = None
    """What the probe is about, such as ``neighborhood``, ``same_subject`` or ``two_hop``."""


class EditRequest(_Value):
    """One fact to change: after ``prompt`` the model shall say ``target_new``."""

    prompt: _Text
    """The prompt; ``{}`` stands for the subject, or the subject occurs in it exactly once."""
    target_new: _Text
    subject: _Text | None = None
    """Needed by methods that write at the subject's last token; optional otherwise."""
    target_true: _Text | None = None
    relation: _Word | None = None
    rephrasings: tuple[_Text, ...] = Field(default=(), strict=False)
    """The same question in other words, written out in full."""
    locality: tuple[Probe, ...] = Field(default=(), strict=False)
    """Prompts whose answers must stay."""
    portability: tuple[Probe, ...] = Field(default=(), strict=False)
    """Prompts whose answers follow from the edit: one hop further, an alias, the reversed question."""
    id: _Word | None = None

    @model_validator(mode="after")
    def _subject_is_in_prompt(self) -> EditRequest:
        marks = self.prompt.count(SUBJECT_MARK)
        if marks > 1:
            raise ValueError("the prompt holds {} more than once")
        if self.subject is None:
            if marks:
                raise ValueError("the prompt holds {} but no subject is given")
        elif not marks:
            found = self.prompt.count(self.subject)
            if found == 0:
                raise ValueError(f"the subject {self.subject!r} is not in the prompt {self.prompt!r}")
            if found > 1:
                raise ValueError(
                    f"the subject {self.subject!r} is in the prompt {found} times; mark the one meant by {{}}"
                )
        return self

    @property
    def text(self) -> str:
        """The prompt with the subject in its place.

        >>> EditRequest(prompt="{} lies in", subject="Rome", target_new="Gaul").text
        'Rome lies in'
        """
        return self.prompt.replace(SUBJECT_MARK, self.subject) if self.subject else self.prompt

    @property
    def subject_end(self) -> int | None:
        """Offset in :attr:`text`, in characters, just behind the subject; None when there is no subject."""
        if self.subject is None:
            return None
        mark = self.prompt.find(SUBJECT_MARK)
        start = mark if mark >= 0 else self.prompt.find(self.subject)
        return start + len(self.subject)

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as plain JSON values."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def parse_request(value: Any, *, where: str) -> EditRequest:
    """A request from a JSON value.

    Args:
        value: what ``json.loads`` gave.
        where: file and line, for the message.

    Raises:
        RequestError: naming ``where``, the field and what was wrong with it.
    """
    try:
        return EditRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RequestError(
            f"{where}: {f'field {field!r}: ' if field else ''}{reason_of(error)}",
            hint="a request is {prompt, subject, target_new, ...}, see docs/format.md",
        ) from None


def parse_requests(data: bytes, *, name: str) -> tuple[EditRequest, ...]:
    """Requests from JSON lines; blank lines are passed over.

    Raises:
        RequestError: naming ``name`` and the line that is broken, or that there is no request at all.
    """
    requests = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{where}: not JSON ({error})", hint="each line is one JSON object") from None
        requests.append(parse_request(value, where=where))
    if not requests:
        raise RequestError(f"{name}: no request in it", hint="each line is one JSON object")
    return tuple(requests)


def read_requests(path: Path) -> tuple[EditRequest, ...]:
    """Requests from a JSON-lines file.

    Raises:
        NotFoundError: there is no such file.
        RequestError: a line is broken, or the file holds no request.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "there is no" if isinstance(error, FileNotFoundError) else f"cannot read ({error.strerror}) the"
        raise NotFoundError(f"{reason} file {str(path)!r}", hint="give a JSON-lines file to --edits") from None
    return parse_requests(data, name=path.name)


def dump_requests(requests: Iterable[EditRequest]) -> bytes:
    """JSON lines in canonical form, so that equal requests have equal bytes."""
    return b"".join(canonical_json(request.to_json()) for request in requests)
