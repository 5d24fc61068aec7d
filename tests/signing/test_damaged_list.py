"""A file of the list of trusted keys that is not what was put there is told, and never listed as somebody."""

from __future__ import annotations

import base64

import pytest

from patchmgr.errors import IntegrityError
from patchmgr.signing.pem import read_certificate, read_public_key
from patchmgr.signing.trust import store_trusted, trusted_keys


@pytest.fixture(params=["key", "certificate"])
def stored(request, keys, tmp_path):
    """The list, and its only file."""
    read = read_public_key if request.param == "key" else read_certificate
    key = read(keys("ana.pub" if request.param == "key" else "root.crt"), "acme")
    store_trusted(tmp_path / "trust", key)
    assert trusted_keys(tmp_path / "trust") == (key,)
    return tmp_path / "trust", tmp_path / "trust" / "acme.pem"


def body(lines, der):
    return b"\n".join([lines[0], base64.b64encode(der), lines[-1], b""])


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: b"\n".join([lines[0], b"!!!", lines[-1], b""]),
        lambda lines: b"\n".join([lines[0], lines[-1], b""]),
        lambda lines: b"\n".join([lines[0], lines[1][:-1] + b"!", *lines[2:], b""]),
        lambda lines: b"\n".join([*lines[:-2], lines[-2][:-4], lines[-1], b""]),
        lambda lines: b"\n".join(lines[:-1]),
        lambda lines: b"\n".join([*lines, *lines, b""]),
        lambda lines: b"\n".join([*lines, b"and more", b""]),
        lambda lines: body(lines, b""),
        lambda lines: body(lines, b"\x30"),
        lambda lines: body(lines, b"\x31\x00"),
        lambda lines: body(lines, b"\x30\x84\xff"),
        lambda lines: body(lines, b"\x30\x02\x00"),
    ],
)
def test_a_block_that_is_damaged_is_nobody(stored, damage):
    folder, file = stored
    file.write_bytes(damage(file.read_bytes().splitlines()))
    with pytest.raises(IntegrityError, match=r"acme\.pem is no trusted key"):
        trusted_keys(folder)
