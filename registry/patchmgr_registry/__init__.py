"""The registry: bases, models, packages, generations and the chain of events, in SQLite or PostgreSQL.

:class:`Registry` is the door; frozen records go in and out. :class:`BlobStore` holds the bytes.
"""

from __future__ import annotations

from patchmgr_registry.blobs import BlobStore, FolderBlobs
from patchmgr_registry.chain import ChainProblem, verify_chain
from patchmgr_registry.clock import seconds_since, timestamp
from patchmgr_registry.errors import ForgottenError, GivenUpError, NewerRegistryError, NumberTakenError
from patchmgr_registry.event_filter import EventFilter
from patchmgr_registry.events import Anchor, Event, EventObject, Origin
from patchmgr_registry.found import FoundEdit, FoundMessage
from patchmgr_registry.owner import Owner
from patchmgr_registry.records import (
    Action,
    BaseKey,
    BaseRecord,
    EditorRecord,
    FileRecord,
    ForgottenRecord,
    GenerationRecord,
    ModelRecord,
    PackageRecord,
    RemoteRecord,
    Result,
    ScoreRecord,
    SignatureRecord,
    Status,
    TensorRecord,
    VersionRecord,
    VersionSummary,
)
from patchmgr_registry.reference import Reference
from patchmgr_registry.store import Registry
from patchmgr_registry.transaction import Transaction

__all__ = [
    "Action",
    "Anchor",
    "BaseKey",
    "BaseRecord",
    "BlobStore",
    "ChainProblem",
    "EditorRecord",
    "Event",
    "EventFilter",
    "EventObject",
    "FileRecord",
    "FolderBlobs",
    "ForgottenError",
    "ForgottenRecord",
    "FoundEdit",
    "FoundMessage",
    "GenerationRecord",
    "GivenUpError",
    "ModelRecord",
    "NewerRegistryError",
    "NumberTakenError",
    "Origin",
    "Owner",
    "PackageRecord",
    "Reference",
    "Registry",
    "RemoteRecord",
    "Result",
    "ScoreRecord",
    "SignatureRecord",
    "Status",
    "TensorRecord",
    "Transaction",
    "VersionRecord",
    "VersionSummary",
    "seconds_since",
    "timestamp",
    "verify_chain",
]
