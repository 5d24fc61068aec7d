"""Who asks, and what they may do: two users, one organisation, tokens that write and tokens that read."""

from __future__ import annotations

from dataclasses import dataclass

from hub.testhub.refusals import Refusal, gated, no_repository
from hub.testhub.store import Repository, Store

ORGANISATIONS = {"org": {"alice": "write", "bob": "read"}}


@dataclass(frozen=True)
class Caller:
    """The user behind a request; ``name`` is None without a token."""

    name: str | None
    role: str = "none"

    def namespaces(self) -> dict[str, str]:
        """What this user may do where: its own name, and its organisations."""
        if self.name is None:
            return {}
        return {self.name: "write", **{org: m[self.name] for org, m in ORGANISATIONS.items() if self.name in m}}

    def may_see(self, repository: Repository) -> bool:
        return not repository.private or repository.namespace in self.namespaces()

    def may_fetch(self, repository: Repository) -> bool:
        """A gated repository shows its listing to everyone, and its files to those whom it lets in."""
        return not repository.gated or repository.namespace in self.namespaces() or self.name in repository.granted


TOKENS = {
    "hf_alice": Caller("alice", "write"),
    "hf_bob": Caller("bob", "write"),
    "hf_alice_read": Caller("alice", "read"),
    "hf_bob_read": Caller("bob", "read"),
}


def caller_of(authorization: str | None) -> Caller:
    """The user of a header ``Authorization: Bearer TOKEN``.

    Raises:
        Refusal: 401, the token is none of ours.
    """
    if not authorization:
        return Caller(None)
    token = authorization.removeprefix("Bearer ").strip()
    if token not in TOKENS:
        raise Refusal(401, "Invalid credentials in Authorization header")
    return TOKENS[token]


def seen(store: Store, caller: Caller, repo_id: str) -> Repository:
    """A repository that the caller may know of."""
    repository = store.repositories.get(repo_id)
    if repository is None or not caller.may_see(repository):
        raise no_repository(repo_id, anonymous=caller.name is None)
    return repository


def readable(store: Store, caller: Caller, repo_id: str) -> Repository:
    """A repository whose files the caller may have."""
    repository = seen(store, caller, repo_id)
    if not caller.may_fetch(repository):
        raise gated(repo_id, anonymous=caller.name is None)
    return repository


def check_write(caller: Caller, namespace: str) -> str:
    """The caller's name, if it may write in a namespace with this token.

    Raises:
        Refusal: 401 without a token, 403 for a read token or somebody else's namespace.
    """
    if caller.name is None:
        raise Refusal(401, "Invalid username or password.")
    if caller.role != "write":
        raise Refusal(403, "You have read access but not the required permissions for this operation")
    if caller.namespaces().get(namespace) != "write":
        raise Refusal(403, f"You don't have the rights to create or change a model under the namespace {namespace!r}.")
    return caller.name


def writable(store: Store, caller: Caller, repo_id: str) -> tuple[Repository, str]:
    repository = seen(store, caller, repo_id)
    return repository, check_write(caller, repository.namespace)


def proposable(store: Store, caller: Caller, repo_id: str) -> tuple[Repository, str]:
    """A repository to which the caller may open a pull request: everybody with a write token who reads it may."""
    repository = readable(store, caller, repo_id)
    if caller.name is None:
        raise Refusal(401, "Invalid username or password.")
    if caller.role != "write":
        raise Refusal(403, "You have read access but not the required permissions for this operation")
    return repository, caller.name
