"""IKE's prompt: the nearest entry as the new fact, behind demonstrations from its neighbours, the nearest last."""

from __future__ import annotations

from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext
from patchmgr.package.memory.bundle import read_bundle, write_bundle
from patchmgr.request import EditRequest, Probe
from patchmgr.testing.tiny import tiny_loaded_model
from patchmgr_ike import Ike
from patchmgr_ike.demonstrations import KINDS, Probes, demonstrations, dump_probes, parse_probes


def request(name, capital):
    return EditRequest(
        prompt="The capital of {} is",
        subject=name,
        target_new=capital,
        id=name,
        rephrasings=(f"The seat of government of {name} is",),
        locality=(Probe(prompt=f"The continent of {name} is", target="Europe"),),
    )


REQUESTS = [request("France", "Rome"), request("Spain", "Oslo"), request("Italy", "Bern")]


def opened(tmp_path, requests=REQUESTS, before=None, **parameters):
    context = EditContext(ArtefactStore(tmp_path / "artefacts"), memory=before)
    payload = Ike().edit(tiny_loaded_model(), requests, Ike.parameters(**parameters), context)
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    write_bundle(folder, payload.memory)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    bundle = read_bundle("kb@v1", files)
    return bundle, Ike().open(bundle, "cpu")


def test_the_prompt_is_the_published_form(tmp_path):
    _, memory = opened(tmp_path, demonstrations=2)
    (route,) = memory.route(["The seat of government of France is"])
    parts = route.prompt.split("\n\n")
    assert parts[-1] == "New Fact: The capital of France is Rome\nPrompt: The seat of government of France is"
    nearest_name = route.entries[1]
    capital = {each.subject: each.target_new for each in REQUESTS}
    assert parts[1] == (
        f"New Fact: The capital of {nearest_name} is {capital[nearest_name]}\n"
        f"Prompt: The continent of {nearest_name} is Europe"
    )
    assert parts[0].endswith(f"Prompt: The seat of government of {route.entries[2]} is {capital[route.entries[2]]}")


def test_without_demonstrations_only_the_fact_stands_in_front(tmp_path):
    _, memory = opened(tmp_path, demonstrations=0)
    (route,) = memory.route(["The capital of Spain is"])
    assert route.prompt == "New Fact: The capital of Spain is Oslo\nPrompt: The capital of Spain is"


def test_every_question_is_claimed_unless_a_threshold_is_set(tmp_path):
    assert all(opened(tmp_path)[1].route(["Gold has the symbol"]))
    assert opened(tmp_path, threshold=0.9)[1].route(["Gold has the symbol"]) == [None]


def test_the_next_version_demonstrates_with_the_old_entries_too(tmp_path):
    before, _ = opened(tmp_path, REQUESTS[:1])
    bundle, memory = opened(tmp_path, REQUESTS[1:2], before)
    assert [entry.id for entry in bundle.entries] == ["France", "Spain"]
    (route,) = memory.route(["The capital of Spain is"])
    assert "Prompt: The continent of France is Europe" in route.prompt


def test_kinds_come_in_the_published_shares_and_a_missing_probe_copies():
    assert [KINDS.count(kind) for kind in ("copy", "update", "retain")] == [1, 3, 4]
    from patchmgr.package.memory.operations import Entry

    entries = [Entry(id=str(number), prompt=f"p{number}", target="t") for number in range(9)]
    probes = {"0": Probes(retain=(("other", "kept"),)), "1": Probes()}
    shown = list(demonstrations(entries, probes, 2))
    assert shown == [("p1 t", "p1", "t"), ("p0 t", "other", "kept")]
    assert len(list(demonstrations(entries, {}, 9))) == 9


def test_demonstrations_are_written_and_read():
    probes = {"a": Probes((("q", "a"),), (("r", "s"), ("u", "v"))), "b": Probes()}
    assert parse_probes(dump_probes(probes), where="here") == probes
