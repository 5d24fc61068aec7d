"""What the Hub answers when it says no: a status, the error code that its client reads, and a message."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Raised by a handler, sent as an answer."""

    def __init__(self, status: int, message: str, code: str | None = None, body: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.body = {"error": message} if body is None else body


def no_repository(repo_id: str, *, anonymous: bool) -> Refusal:
    """Of a private repository a stranger hears the same as of one that does not exist."""
    return Refusal(401 if anonymous else 404, f"Repository not found: {repo_id}", "RepoNotFound")


def no_revision(revision: str) -> Refusal:
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(path: str) -> Refusal:
    return Refusal(404, f"Entry not found: {path}", "EntryNotFound")


def gated(repo_id: str, *, anonymous: bool) -> Refusal:
    return Refusal(
        401 if anonymous else 403,
        f"Access to model {repo_id} is restricted and you are not in the authorized list. Ask for access on its page.",
        "GatedRepo",
    )
