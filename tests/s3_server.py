"""A local S3: moto's server in this process, and the environment by which clients find it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

BUCKET = "packages"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of a server that lives as long as the tests."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """``s3://…`` of an empty bucket, the settings for it in force."""
    from patchmgr_registry.blobs.s3 import open_s3

    settings = {"ACCESS_KEY_ID": "ana", "SECRET_ACCESS_KEY": "secret", "ENDPOINT_URL": s3_endpoint}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files = open_s3()
    if files.exists(BUCKET):
        files.rm(BUCKET, recursive=True)
    files.mkdir(BUCKET)
    return f"s3://{BUCKET}"
