"""Settings: an argument wins over the environment, that over files."""

from __future__ import annotations

import pytest

from patchmgr.errors import UsageError
from patchmgr.manager.settings import load_settings


def test_the_order_of_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PATCHMGR_HOME")
    user = tmp_path / "config" / "patchmgr"
    user.mkdir(parents=True)
    (user / "config.toml").write_text("[patchmgr]\nhome = '/user'\nactor = 'user'\n")
    assert (str(load_settings().home), load_settings().actor) == ("/user", "user")
    (tmp_path / "patchmgr.toml").write_text("[patchmgr]\nhome = '/here'\n")
    assert (str(load_settings().home), load_settings().actor) == ("/here", "user")
    monkeypatch.setenv("PATCHMGR_HOME", "/env")
    monkeypatch.setenv("PATCHMGR_ACTOR", "env")
    assert (str(load_settings().home), load_settings().actor) == ("/env", "env")
    assert load_settings(home=tmp_path).home == tmp_path


@pytest.mark.parametrize("text", ["[patchmgr]\nhoem = 1\n", "[patchmgr\n", "patchmgr = 3\n"])
def test_a_file_that_is_wrong_is_named(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patchmgr.toml").write_text(text)
    with pytest.raises(UsageError, match=r"patchmgr\.toml"):
        load_settings()
