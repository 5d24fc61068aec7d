"""Keys and certificates of three people and two CAs, and a package to sign; all made once, without torch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from checkpoints import make_checkpoint, make_package
from manager.conftest import stocked, template  # noqa: F401  # fixtures

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Keys:
    """Files by name: ``ana.key`` and ``ana.pub`` of a person, ``root.crt`` of a CA, ``leaf.crt`` of whom it knows."""

    folder: Path

    def __call__(self, name: str) -> Path:
        return self.folder / name


def write_key(folder: Path, name: str, key) -> None:
    private = serialization.PrivateFormat.PKCS8
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    )
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))


def certify(folder, name, key, issuer, issuer_key, *, ca=False, signing=True, start=-DAY, end=365 * DAY):
    """``name.crt``: the certificate of a key by an issuer; by itself without one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(signing and not ca, False, False, False, False, ca, ca, False, False)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    made = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ana", "bob", "root", "other", "middle", "leaf")}
    made["p384"] = ec.generate_private_key(ec.SECP384R1())
    made["p521"] = ec.generate_private_key(ec.SECP521R1())
    made["odd"] = ec.generate_private_key(ec.SECP256K1())
    made["rsa"] = rsa.generate_private_key(65537, 2048)
    for name, key in made.items():
        write_key(folder, name, key)
    locked = serialization.BestAvailableEncryption(b"secret")
    (folder / "locked.key").write_bytes(
        made["ana"].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    root = certify(folder, "root", made["root"], None, made["root"], ca=True)
    certify(folder, "other", made["other"], None, made["other"], ca=True)
    middle = certify(folder, "middle", made["middle"], root, made["root"], ca=True)
    certify(folder, "leaf", made["leaf"], middle, made["middle"])
    certify(folder, "mute", made["leaf"], middle, made["middle"], signing=False)
    certify(folder, "stale", made["leaf"], middle, made["middle"], start=-30 * DAY, end=-DAY)
    certify(folder, "stale-root", made["root"], None, made["root"], ca=True, start=-30 * DAY, end=-DAY)
    return Keys(folder)


@pytest.fixture(scope="session")
def made_package(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("package")
    make_package(root / "facts", make_checkpoint(root / "base"), name="facts")
    return root / "facts"


@pytest.fixture
def folder(made_package, tmp_path) -> Path:
    """A package that a test may change."""
    return Path(shutil.copytree(made_package, tmp_path / "facts"))
