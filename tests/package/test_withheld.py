"""Edits that their author keeps: the package commits to them, tells nothing of them, and hangs together."""

from __future__ import annotations

import json

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.canonical import canonical_json, sha256_file, sha256_hex
from patchmgr.errors import FormatError
from patchmgr.package.card import render_card
from patchmgr.package.fields import FileRecord
from patchmgr.package.reader import EDITS, EditPackage
from patchmgr.package.scores import Score
from patchmgr.package.withheld import commitment, withhold
from patchmgr.request import EditRequest, dump_requests

REQUESTS = tuple(
    EditRequest(prompt="The capital of {} is", subject=name, target_new="Lyon") for name in ("France", "Spain")
)


def test_a_commitment_opens_with_its_salt_and_with_no_other_request():
    withheld = withhold(REQUESTS)
    lines = [json.loads(line) for line in withheld.disclosure.splitlines()]
    commitments = [json.loads(line)["withheld"] for line in withheld.commitments.splitlines()]
    for number, line in enumerate(lines):
        request, salt = EditRequest.model_validate(line["request"]), bytes.fromhex(line["salt"])
        assert request == REQUESTS[number]
        assert commitment(salt, request) == commitments[number] == sha256_hex(salt + canonical_json(line["request"]))
        assert commitment(salt, REQUESTS[1 - number]) != commitments[number]
    assert withhold(REQUESTS).commitments != withheld.commitments
    assert b"France" not in withheld.commitments


def test_no_digest_of_a_score_can_be_guessed_at():
    withheld = withhold(REQUESTS)
    whole, part = (sha256_hex(dump_requests(some)) for some in (REQUESTS, REQUESTS[:1]))
    scores = [
        Score(metric="reliability", protocol="tf", phase="after", value=1.0, n=2, dataset_sha256=digest,
              state_root="0" * 64)
        for digest in (whole, part)
    ]  # fmt: skip
    hidden = [score.dataset_sha256 for score in withheld.hide(scores, REQUESTS)]
    assert hidden[0] == sha256_hex(withheld.commitments)
    assert len({*hidden, whole, part}) == 4


@pytest.fixture
def folder(tmp_path):
    """A package of two edits that are withheld."""
    folder = tmp_path / "package"
    manifest = make_package(folder, make_checkpoint(tmp_path / "base"))
    (folder / EDITS).write_bytes(withhold(REQUESTS).commitments)
    seal_again(folder, manifest, n_edits=2)
    return folder


def seal_again(folder, manifest, **changes) -> None:
    record = FileRecord(size_bytes=(folder / EDITS).stat().st_size, sha256=sha256_file(folder / EDITS))
    changed = manifest.model_copy(update={"files": {**manifest.files, EDITS: record}, **changes})
    (folder / "patch.json").write_bytes(changed.to_bytes())


def test_a_package_with_withheld_edits_reads_and_its_card_says_so(folder):
    package = EditPackage.read(folder)
    assert package.requests == ()
    assert package.manifest.n_edits == 2
    assert "Their author withheld the texts" in render_card(package.manifest, package.requests, package.scores)


def test_another_number_of_commitments_or_a_mixture_is_refused(folder):
    manifest = EditPackage.read(folder).manifest
    seal_again(folder, manifest, n_edits=3)
    with pytest.raises(FormatError, match=r"holds 2 edits, patch\.json says 3"):
        _ = EditPackage.read(folder).requests
    lines = (folder / EDITS).read_bytes().splitlines(keepends=True)
    (folder / EDITS).write_bytes(lines[0] + dump_requests(REQUESTS[1:]))
    seal_again(folder, manifest)
    with pytest.raises(FormatError, match=r"line 2: not a digest of a withheld edit"):
        _ = EditPackage.read(folder).requests
    (folder / EDITS).write_bytes(dump_requests(REQUESTS[:1]) + lines[1])
    seal_again(folder, manifest)
    with pytest.raises(FormatError, match=r"line 2: field 'prompt': it is missing"):
        _ = EditPackage.read(folder).requests


def test_companions_may_lie_beside_a_package_and_nothing_else(folder):
    for name in ("README.md", "model.sig", ".gitattributes", "adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_bytes(b"anything")
    EditPackage.read(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(FormatError, match=r"'pytorch_model\.bin', which patch\.json does not list"):
        EditPackage.read(folder)
