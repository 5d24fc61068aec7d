"""Repositories as real content: blobs by digest, trees, commits with a parent, and the refs that name commits."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hub.testhub.refusals import Refusal, no_entry, no_revision

GITATTRIBUTES = b"".join(
    b"*.%b filter=lfs diff=lfs merge=lfs -text\n" % suffix
    for suffix in (b"bin", b"h5", b"npz", b"npy", b"parquet", b"pkl", b"pt", b"pth", b"safetensors", b"tar", b"zst")
)
_FIRST_SECOND = datetime(2026, 1, 1, tzinfo=UTC)


def git_oid(kind: str, data: bytes) -> str:
    """The name that git gives an object of a kind (blob, tree, commit) with this content."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A file at a commit. A large file is a pointer in git: ``oid`` names the pointer, ``sha256`` the content."""

    oid: str
    size: int
    sha256: str
    is_lfs: bool
    xet_hash: str | None = None
    pointer_size: int = 0

    @classmethod
    def regular(cls, data: bytes) -> Blob:
        return cls(git_oid("blob", data), len(data), hashlib.sha256(data).hexdigest(), is_lfs=False)

    @classmethod
    def lfs(cls, sha256: str, size: int, xet_hash: str | None = None) -> Blob:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return cls(git_oid("blob", pointer), size, sha256, True, xet_hash, len(pointer))

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.oid


Tree = Mapping[str, Blob]


@dataclass(frozen=True)
class Commit:
    """The whole tree after a commit, its parent and who made it."""

    oid: str
    parent: Commit | None
    tree: Tree
    title: str
    message: str
    author: str
    date: str

    def history(self) -> list[Commit]:
        """This commit and its ancestors, newest first."""
        return list(itertools.takewhile(bool, _chain(self)))


def _chain(commit: Commit | None):
    while commit:
        yield commit
        commit = commit.parent


@dataclass
class PullRequest:
    """A pull request, whose commits lie at ``refs/pr/N``; a discussion has no commits."""

    number: int
    title: str
    description: str
    author: str
    created_at: str
    base: Commit
    head: Commit | None
    status: str = "open"
    merge_commit: str | None = None


@dataclass
class Repository:
    """One model repository; ``branches`` and ``tags`` name commits, ``pulls`` has discussions too."""

    id: str
    private: bool
    created_at: str
    gated: str | bool = False
    granted: set[str] = field(default_factory=set)
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    downloads: int = 0

    @property
    def namespace(self) -> str:
        return self.id.split("/", maxsplit=1)[0]

    def commits(self) -> dict[str, Commit]:
        """Every commit that a ref reaches, by its oid."""
        heads = [*self.branches.values(), *self.tags.values(), *(p.head for p in self.pulls.values() if p.head)]
        return {commit.oid: commit for head in heads for commit in head.history()}

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag, ``refs/pr/N``, a full oid or the beginning of one names."""
        if commit := self.branches.get(revision) or self.tags.get(revision):
            return commit
        pulls = {f"refs/pr/{number}": pull.head for number, pull in self.pulls.items()}
        if commit := pulls.get(revision):
            return commit
        if revision.startswith(("refs/heads/", "refs/tags/")):
            return self.at(revision.split("/", 2)[2])
        found = [commit for oid, commit in self.commits().items() if len(revision) >= 7 and oid.startswith(revision)]
        if len(found) != 1:
            raise no_revision(revision)
        return found[0]

    def blob(self, revision: str, path: str) -> tuple[Commit, Blob]:
        commit = self.at(revision)
        if path not in commit.tree:
            raise no_entry(path)
        return commit, commit.tree[path]

    def move(self, branch: str, commit: Commit) -> None:
        """Let a branch or ``refs/pr/N`` name another commit."""
        if branch.startswith("refs/pr/"):
            self.pulls[int(branch.rsplit("/", 1)[1])].head = commit
        else:
            self.branches[branch] = commit


class Store:
    """All repositories, and the contents of files by SHA-256."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.contents: dict[str, bytes] = {}
        self._seconds = itertools.count()

    def now(self) -> str:
        """A clock that ticks a second at every look, so that orders by date are the same in every run."""
        return (_FIRST_SECOND + timedelta(seconds=next(self._seconds))).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def create(self, repo_id: str, author: str, *, private: bool) -> Repository:
        if repo_id in self.repositories:
            raise Refusal(409, "You already created this model repo")
        repository = Repository(repo_id, private, self.now())
        tree = {".gitattributes": self.regular(GITATTRIBUTES)}
        repository.branches["main"] = self.commit(None, tree, "initial commit", "", author)
        self.repositories[repo_id] = repository
        return repository

    def regular(self, data: bytes) -> Blob:
        """Keep a file of git itself."""
        blob = Blob.regular(data)
        self.contents[blob.sha256] = data
        return blob

    def large(self, data: bytes) -> Blob:
        """Keep a file of large file storage."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.contents[sha256] = data
        return Blob.lfs(sha256, len(data))

    def commit(self, parent: Commit | None, tree: Tree, title: str, message: str, author: str) -> Commit:
        """A commit with the tree given; no ref names it yet."""
        date = self.now()
        said = [parent and parent.oid, tree_oid(tree), title, message, author, date]
        return Commit(git_oid("commit", json.dumps(said).encode()), parent, dict(tree), title, message, author, date)


def tree_oid(tree: Tree) -> str:
    return git_oid("tree", json.dumps(sorted((path, blob.oid) for path, blob in tree.items())).encode())
