"""A registry on each database: SQLite always, PostgreSQL where a server can be started here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest

from cli.conftest import run  # noqa: F401  # a fixture
from databases import (  # noqa: F401  # fixtures
    Database,
    database,
    empty_postgresql,
    empty_sqlite,
    new_postgresql,
    postgresql_server,
    sqlite_home,
)
from patchmgr_registry import (
    BaseRecord,
    FileRecord,
    ModelRecord,
    Origin,
    Registry,
    ScoreRecord,
    TensorRecord,
    VersionRecord,
    timestamp,
)
from s3_server import s3_bucket, s3_endpoint  # noqa: F401  # fixtures


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def registry(database: Database) -> Iterator[Registry]:  # noqa: F811
    with database.open() as opened:
        yield opened


@pytest.fixture
def base() -> BaseRecord:
    return BaseRecord(
        fingerprint=digest_of("weights"),
        config_sha256=digest_of("config"),
        tokenizer_sha256=digest_of("tokenizer"),
        source="example/tiny",
        revision="15ea56d",
        folder="/bases/tiny",
        architecture="GPT2LMHeadModel",
        n_parameters=8_030_261_248,
        size_bytes=16_060_522_496,
        created=timestamp(),
    )


@pytest.fixture
def model(registry: Registry, base: BaseRecord) -> ModelRecord:
    """A model ``prod`` on the base, at generation 0."""
    with registry.begin() as tx:
        tx.add_base(base, [TensorRecord("h.0.w", "model.safetensors", "BF16", (6, 4), digest_of("w"))])
        added = tx.add_model("prod", base.key, state_root=digest_of("pristine"))
        tx.commit()
    return added


@pytest.fixture
def origin() -> Origin:
    return Origin(actor="ana", host="worker-1", program_version="0.1.0", command=("patchmgr", "apply", "prod"))


@pytest.fixture
def make_version(base: BaseRecord) -> Callable[..., VersionRecord]:
    """A version of a package; its digest follows from package and number."""

    def make(package: str = "fact-fixes", number: int = 1, **fields: object) -> VersionRecord:
        values: dict[str, object] = {
            "package": package,
            "number": number,
            "digest": digest_of(f"{package}@v{number}"),
            "parent_version": number - 1 or None,
            "kind": "weights",
            "method": "rome",
            "message": "Rome is in Gaul",
            "author": "ana",
            "created": timestamp(),
            "base_fingerprint": base.fingerprint,
            "parent_root": digest_of("pristine"),
            "parent_packages": (),
            "n_edits": 1,
            "size_bytes": 3_000_000_000,
            "manifest": '{"name":"é"}\n',
            "files": (
                FileRecord("edits.jsonl", digest_of("edits"), 120),
                FileRecord("weights.safetensors", digest_of(f"{package}{number}"), 2_999_999_880),
            ),
        }
        return VersionRecord(**{**values, **fields})

    return make


@pytest.fixture
def make_score() -> Callable[..., ScoreRecord]:
    def make(metric: str = "reliability", **fields: object) -> ScoreRecord:
        values: dict[str, object] = {
            "metric": metric,
            "protocol": "tf",
            "phase": "after",
            "value": 0.1 + 0.2,
            "n": 40,
            "dataset_sha256": digest_of("data"),
            "seed": 2**40,
            "state_root": digest_of("state"),
        }
        return ScoreRecord(**{**values, **fields})

    return make
