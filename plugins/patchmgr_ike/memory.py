"""IKE at work: the nearest entry is the new fact, and its neighbours demonstrate."""

from __future__ import annotations

from collections.abc import Sequence

from patchmgr.errors import FormatError
from patchmgr.methods.runtime import Memory
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr.package.memory.operations import Entry
from patchmgr_ike.demonstrations import FILE, demonstrations, parse_probes
from patchmgr_memory.texts import open_memory


def open_bundle(bundle: MemoryBundle, device: str) -> Memory:
    """A bundle of IKE.

    Raises:
        FormatError: it lacks its demonstrations, keys, encoder or a setting.
        MethodError: its encoder was not shipped, and is not here or is another.
    """
    count = bundle.config.settings.get("demonstrations")
    if not isinstance(count, int) or FILE not in bundle.files:
        raise FormatError(f"{bundle.reference} lacks its demonstrations", hint="make it again from its edits")
    probes = parse_probes(bundle.files[FILE].read_bytes(), where=bundle.reference)

    def write(question: str, hits: Sequence[Entry]) -> str:
        shown = [f"New Fact: {fact}\nPrompt: {asked} {answer}\n\n" for fact, asked, answer in shown_of(hits)]
        return f"{''.join(shown)}New Fact: {hits[0].prompt} {hits[0].target}\nPrompt: {question}"

    def shown_of(hits: Sequence[Entry]) -> list[tuple[str, str, str]]:
        return list(demonstrations(hits[1:], probes, count))

    return open_memory(bundle, device, n_hits=count + 1, write=write)
