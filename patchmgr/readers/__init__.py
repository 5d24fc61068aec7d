"""Editing data in the formats that exist; each is a sibling of ``counterfact`` that keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from patchmgr.readers.contract import Case, LeftOut, Reader
from patchmgr.readers.convsent import ConvSent
from patchmgr.readers.counterfact import CounterFact
from patchmgr.readers.counterfact_compact import CounterFactCompact
from patchmgr.readers.csv_table import CsvTable
from patchmgr.readers.knowedit import KnowEdit
from patchmgr.readers.mquake import Mquake
from patchmgr.readers.own import Own
from patchmgr.readers.pokemqa import PokeMqa
from patchmgr.readers.read import Conversion, read_edits
from patchmgr.readers.sanitation import Sanitation
from patchmgr.readers.wikibio import WikiBio
from patchmgr.readers.zsre import Zsre

__all__ = ["Case", "Conversion", "LeftOut", "Reader", "read_edits"]

hookimpl = pluggy.HookimplMarker("patchmgr")


@hookimpl
def patchmgr_register_readers(register: Callable[[Reader], None]) -> None:
    """Register the formats that patchmgr reads."""
    for reader in (
        Own(),
        CounterFact(),
        CounterFactCompact(),
        Zsre(),
        KnowEdit(),
        WikiBio(),
        ConvSent(),
        Sanitation(),
        Mquake(),
        PokeMqa(),
        CsvTable(),
    ):
        register(reader)
