"""A signature holds for the bytes that were signed and by the key that is trusted, and for nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from patchmgr.errors import FormatError
from patchmgr.package.fields import FileRecord
from patchmgr.package.reader import EditPackage
from patchmgr.signing import bundle, library
from patchmgr.signing.bundle import LIMIT_BYTES, parse_bundle, read_signature
from patchmgr.signing.contract import signed_digests
from patchmgr.signing.pem import read_certificate, read_public_key
from patchmgr.signing.sign import SigningOrder, sign_manifest
from patchmgr.signing.verify import judge


@pytest.fixture
def manifest(folder):
    return EditPackage.read(folder).manifest


@pytest.fixture
def ana(keys):
    return read_public_key(keys("ana.pub"), "ana")


@pytest.fixture(scope="session")
def by_ana(keys, made_package):
    return sign_manifest(EditPackage.read(made_package).manifest, SigningOrder(keys("ana.key")))[0]


@pytest.mark.parametrize("curve", ["ana", "p384", "p521"])
def test_a_key_of_each_curve_signs_and_is_proved(keys, manifest, curve):
    signature, signer = sign_manifest(manifest, SigningOrder(keys(f"{curve}.key")))
    trusted = read_public_key(keys(f"{curve}.pub"), curve)
    found = judge(manifest, signature, [trusted])
    assert (found.status, found.trusted_as, found.signer) == ("trusted", curve, signer)
    assert trusted.fingerprint == signer.fingerprint


def test_it_covers_the_manifest_and_every_listed_file_and_no_companion(by_ana, manifest):
    signed = parse_bundle(by_ana).signed
    assert signed == {
        "patch.json": manifest.digest, **{name: record.sha256 for name, record in manifest.files.items()}
    }  # fmt: skip
    assert "README.md" not in signed and set(signed) >= {"edits.jsonl", "weights.safetensors"}


def test_a_listed_card_of_older_packages_is_covered(keys, manifest, ana):
    older = manifest.model_copy(
        update={"files": {**manifest.files, "README.md": FileRecord(size_bytes=1, sha256="a" * 64)}}
    )
    signature, _ = sign_manifest(older, SigningOrder(keys("ana.key")))
    assert parse_bundle(signature).signed["README.md"] == "a" * 64
    assert judge(older, signature, [ana]).status == "trusted"


def test_changing_any_covered_file_is_noticed(by_ana, manifest, ana):
    for name in manifest.files:
        files = {**manifest.files, name: FileRecord(size_bytes=1, sha256="b" * 64)}
        found = judge(manifest.model_copy(update={"files": files}), by_ana, [ana])
        assert found.status == "bad" and "patch.json" in found.trouble


def test_an_old_signature_on_a_new_version_is_refused_whoever_is_trusted(by_ana, manifest, ana):
    later = manifest.model_copy(update={"version": 2, "parent_version": 1})
    for trusted in ([ana], []):
        found = judge(later, by_ana, trusted)
        assert found.status == "bad" and "patch.json" in found.trouble


@pytest.mark.parametrize("missing", ["patch.json", "edits.jsonl", "weights.safetensors"])
def test_what_a_trusted_key_did_not_sign_is_refused(keys, manifest, ana, missing):
    digests = {name: digest for name, digest in signed_digests(manifest).items() if name != missing}
    found = judge(manifest, library.sign_with_key("facts", digests, keys("ana.key")), [ana])
    assert found.status == "bad" and f"does not cover {missing}" in found.trouble


def test_more_than_the_package_may_be_signed_and_names_are_never_opened(keys, manifest, ana):
    digests = {**signed_digests(manifest), "README.md": "c" * 64, "../../outside": "d" * 64, "/etc/passwd": "e" * 64}
    assert judge(manifest, library.sign_with_key("facts", digests, keys("ana.key")), [ana]).status == "trusted"


def test_a_signature_by_another_key_proves_nothing(keys, manifest, ana):
    signature, signer = sign_manifest(manifest, SigningOrder(keys("bob.key")))
    found = judge(manifest, signature, [ana])
    assert (found.status, found.signer) == ("unknown", signer)
    assert signer.fingerprint in found.line


def changed(signature: bytes, change) -> bytes:
    opened = json.loads(signature)
    change(opened)
    return json.dumps(opened).encode()


def test_another_keys_signature_under_a_trusted_name_is_refused(keys, manifest, ana):
    signature, _ = sign_manifest(manifest, SigningOrder(keys("bob.key")))

    def rename(opened):
        opened["verificationMaterial"]["publicKey"]["hint"] = ana.fingerprint

    found = judge(manifest, changed(signature, rename), [ana])
    assert found.status == "bad" and "not by that key" in found.trouble


def test_a_changed_statement_under_an_old_signature_is_refused(by_ana, manifest, ana):
    later = manifest.model_copy(update={"version": 2, "parent_version": 1})

    def replay(opened):
        statement = json.loads(base64.b64decode(opened["dsseEnvelope"]["payload"]))
        for resource in statement["predicate"]["resources"]:
            if resource["name"] == "patch.json":
                resource["digest"] = later.digest
        opened["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    found = judge(later, changed(by_ana, replay), [ana])
    assert found.status == "bad" and "not by that key" in found.trouble


def test_a_chain_up_to_a_trusted_ca_is_proved(keys, manifest):
    order = SigningOrder(keys("leaf.key"), keys("leaf.crt"), (keys("middle.crt"),))
    signature, signer = sign_manifest(manifest, order)
    other, root = (read_certificate(keys(f"{name}.crt"), name) for name in ("other", "root"))
    assert judge(manifest, signature, [other, root]).trusted_as == "root"
    assert signer.kind == "certificate"
    assert judge(manifest, signature, [other]).status == "unknown"
    assert judge(manifest.model_copy(update={"version": 2}), signature, [root]).status == "bad"

    def forge(opened):
        opened["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(b"0" * 70).decode()

    assert judge(manifest, changed(signature, forge), [root]).status == "bad"


def test_a_chain_with_a_gap_is_not_trusted(keys, manifest):
    signature, _ = sign_manifest(manifest, SigningOrder(keys("leaf.key"), keys("leaf.crt")))
    assert judge(manifest, signature, [read_certificate(keys("root.crt"), "root")]).status == "unknown"


def test_a_keyless_signature_is_told_and_not_trusted(keys, by_ana, manifest, ana):
    def keyless(opened):
        der = base64.b64encode(b"certificate of a moment").decode()
        opened["verificationMaterial"] = {"certificate": {"rawBytes": der}}

    found = judge(manifest, changed(by_ana, keyless), [ana, read_certificate(keys("root.crt"), "root")])
    assert (found.status, found.signer.kind) == ("unknown", "keyless")


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"\xff\xfe", b"{}", b"[]", b"null", b'{"mediaType": 3}', b"[" * 100_000,
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"signatures":[]}}',
        b" " * (LIMIT_BYTES + 1),
    ],
    ids=["empty", "bytes", "object", "list", "null", "type", "deep", "no-signature", "huge"],
)  # fmt: skip
def test_garbage_is_bad_and_nothing_else_happens(manifest, ana, garbage):
    found = judge(manifest, garbage, [ana])
    assert found.status == "bad" and "model.sig" in found.trouble


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("_type",), "x"), (("predicateType",), "https://model_signing/Digests/v0.1"),
        (("predicate", "serialization", "method"), "shards"), (("predicate", "resources"), 3),
        (("predicate", "resources"), [{"name": "patch.json", "algorithm": "blake2", "digest": "0" * 64}]),
        (("predicate", "resources"), [{"name": "a", "algorithm": "sha256", "digest": "0" * 64}] * 2),
        (("predicate", "resources"), [{"name": "a", "algorithm": "sha256", "digest": "00"}]),
    ],
)  # fmt: skip
def test_a_statement_of_another_kind_is_bad(by_ana, manifest, ana, where, value):
    def change(opened):
        statement = json.loads(base64.b64decode(opened["dsseEnvelope"]["payload"]))
        inner = statement
        for name in where[:-1]:
            inner = inner[name]
        inner[where[-1]] = value
        opened["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    assert judge(manifest, changed(by_ana, change), [ana]).status == "bad"


def test_a_huge_file_a_link_and_a_pipe_are_not_read(tmp_path):
    import os

    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(LIMIT_BYTES + 1)
    (tmp_path / "link").symlink_to(huge)
    os.mkfifo(tmp_path / "pipe")
    for name in ("huge", "link", "pipe", "absent"):
        with pytest.raises(FormatError, match=r"model\.sig"):
            read_signature(tmp_path / name)


def test_without_the_library_the_error_says_what_to_install(by_ana, manifest, ana, monkeypatch):
    from patchmgr.errors import PatchmgrError

    for name in [*(name for name in sys.modules if name.startswith("model_signing")), "model_signing"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PatchmgrError) as told:
        judge(manifest, by_ana, [ana])
    assert told.value.hint == "pip install 'patchmgr[signing]'"
    assert judge(manifest, by_ana, []).status == "unknown", "nobody is trusted, so nothing is to be proved"


def test_looking_at_a_signature_needs_no_library():
    code = (
        "import sys; import patchmgr.signing.verify, patchmgr.signing.trust, patchmgr.manager.signing.ask;"
        "sys.exit(any(name in sys.modules for name in ('model_signing', 'cryptography', 'torch', 'numpy')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert bundle.LIMIT_BYTES == 4 * 1024 * 1024


# The plain tool


def plain(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_a_stranger_checks_our_signature_with_the_plain_tool(keys, folder, by_ana):
    (folder / "model.sig").write_bytes(by_ana)
    words = ("verify", "key", "--public_key", keys("ana.pub"), "--signature", folder / "model.sig")
    (folder / "README.md").write_text("another card")
    (folder / "adapter_config.json").write_text("{}")
    assert plain(*words, folder).returncode == 0, "companions do not count"
    (folder / "notes.txt").write_text("mine")
    assert plain(*words, "--ignore_unsigned_files", folder).returncode == 0
    with (folder / "edits.jsonl").open("a") as file:
        file.write("\n")
    refused = plain(*words, "--ignore_unsigned_files", folder)
    assert refused.returncode == 1 and "edits.jsonl" in refused.stderr + refused.stdout


def test_a_stranger_checks_a_certificate_with_the_plain_tool(keys, folder, manifest):
    order = SigningOrder(keys("leaf.key"), keys("leaf.crt"), (keys("middle.crt"),))
    (folder / "model.sig").write_bytes(sign_manifest(manifest, order)[0])
    words = ("verify", "certificate", "--signature", folder / "model.sig", "--certificate_chain")
    assert plain(*words, keys("root.crt"), folder).returncode == 0
    assert plain(*words, keys("other.crt"), folder).returncode == 1


def test_a_signature_by_the_plain_tool_is_accepted(keys, folder, manifest, ana):
    done = plain("sign", "key", "--private_key", keys("ana.key"), "--signature", folder / "model.sig", folder)
    assert done.returncode == 0
    assert "README.md" in parse_bundle((folder / "model.sig").read_bytes()).signed
    assert judge(manifest, (folder / "model.sig").read_bytes(), [ana]).status == "trusted"
