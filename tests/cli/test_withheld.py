"""``edit --withhold-edits``: the package works, says nothing of its edits, and its author can prove them."""

from __future__ import annotations

import json

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.manager.manager import Manager
from patchmgr.request import parse_request


def test_edits_are_withheld_from_the_package_and_proved_from_the_home(run, atlas_home, edits_file, request_line):
    made = run("edit", "atlas", "--name", "quiet", "--edits", edits_file, "--withhold-edits", "--json")
    assert made.code == 0, made.err
    shown = run("show", "quiet@v1", "--edits")
    assert shown.out == ""
    assert "withheld its 1 edit(s)" in shown.err
    with Manager.open(atlas_home) as manager:
        version = manager.registry.version("quiet@v1")
        package = b"".join(manager.registry.blobs.read_bytes(file.sha256) for file in version.files)
        edits = manager.registry.blobs.read_bytes(next(f.sha256 for f in version.files if f.path == "edits.jsonl"))
        scores = json.loads(manager.registry.blobs.read_bytes(
            next(file.sha256 for file in version.files if file.path == "eval.json")
        ))["scores"]  # fmt: skip
    for secret in (request_line["subject"], request_line["target_new"]):
        assert secret.encode() not in package
    request = parse_request(request_line, where="demo")
    assert {score["dataset_sha256"] for score in scores} == {sha256_hex(edits)}
    proof = json.loads((atlas_home / "withheld" / f"{sha256_hex(edits)}.jsonl").read_bytes())
    assert proof["request"] == request.to_json()
    salted = bytes.fromhex(proof["salt"]) + canonical_json(request.to_json())
    assert json.loads(edits) == {"withheld": sha256_hex(salted)}
    assert run("apply", "atlas", "quiet").code == 0
    prompt = request_line["prompt"].format(request_line["subject"])
    assert request_line["target_new"] in run("generate", "atlas", prompt).out
    assert run("verify", "quiet@v1").code == 0


def test_a_memory_cannot_withhold_what_it_holds(run, atlas_home, edits_file):
    done = run("edit", "atlas", "--name", "kb", "--method", "ike", "--edits", edits_file, "--withhold-edits")
    assert done.code == 2
    assert "cannot be withheld" in done.err
