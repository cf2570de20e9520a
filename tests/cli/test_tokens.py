"""Where tokens lie: a keyring, else a file that nobody else may open."""

from __future__ import annotations

import json
import stat
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.application import Token
from proxy.cli.tokens import CannotKeep, SystemKeyring, TokenFile, find_tokens

WIKI, GIT = "https://wiki.example.org", "https://git.example.org:8443"


def token(letter: str = "a", **changes: Any) -> Token:
    return Token(**{"text": "ztcl_" + letter * 43, "user": "ana", "expires_at": time.time() + 60.0, **changes})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ztproxy"


def test_tokens_are_kept_by_origin_for_their_owner_alone(folder: Path) -> None:
    tokens, mine, other = TokenFile(folder), token("a"), token("b")
    assert tokens.get(WIKI) is None
    assert not folder.exists()  # whoever only looks leaves nothing behind
    tokens.put(WIKI, token("c"))
    tokens.put(WIKI, mine)
    tokens.put(GIT, other)
    assert (tokens.get(WIKI), tokens.get(GIT), tokens.get("https://example.org")) == (mine, other, None)
    assert (mode(folder), mode(folder / "tokens.json")) == (0o700, 0o600)
    assert [path.name for path in folder.iterdir()] == ["tokens.json"]
    tokens.drop(WIKI)
    tokens.drop(WIKI)
    assert (TokenFile(folder).get(WIKI), TokenFile(folder).get(GIT)) == (None, other)


def test_what_has_expired_is_forgotten_when_something_else_is_kept(folder: Path) -> None:
    tokens = TokenFile(folder)
    tokens.put(WIKI, token(expires_at=time.time() - 1))
    tokens.put(GIT, token())
    assert list(json.loads((folder / "tokens.json").read_text())) == [GIT]


@pytest.mark.parametrize("bits", [0o604, 0o640, 0o620, 0o602, 0o601])
def test_a_file_that_others_may_open_is_refused(folder: Path, bits: int) -> None:
    TokenFile(folder).put(WIKI, token())
    (folder / "tokens.json").chmod(bits)
    with pytest.raises(CannotKeep, match="chmod 600"):
        TokenFile(folder)


@pytest.mark.parametrize("bits", [0o755, 0o770, 0o701])
def test_a_folder_that_others_may_open_is_refused(folder: Path, bits: int) -> None:
    tokens = TokenFile(folder)
    tokens.put(WIKI, token())
    folder.chmod(bits)
    with pytest.raises(CannotKeep, match="chmod 700"):
        TokenFile(folder)
    with pytest.raises(CannotKeep, match="chmod 700"):
        tokens.put(GIT, token())


def test_a_link_is_no_file_of_ones_own(folder: Path, tmp_path: Path) -> None:
    TokenFile(folder).put(WIKI, token())
    (folder / "tokens.json").rename(tmp_path / "elsewhere")
    (folder / "tokens.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotKeep):
        TokenFile(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_damaged_file_is_refused_and_not_overwritten(folder: Path, text: str) -> None:
    tokens = TokenFile(folder)
    tokens.put(WIKI, token())
    (folder / "tokens.json").write_text(text)
    with pytest.raises(CannotKeep, match="damaged"):
        tokens.put(GIT, token())
    assert (folder / "tokens.json").read_text() == text


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        "x",
        {},
        {"text": "ztcl_x", "user": "", "expires_at": 9e9},
        {"text": 1, "user": "", "expires_at": 9e9},
        {"text": "ztcl_" + "a" * 43 + '"\nurl = "https://evil.example', "user": "", "expires_at": 9e9},
        {"text": "ztcl_" + "a" * 43, "user": "", "expires_at": "soon"},
    ],
)
def test_what_is_no_token_is_none(folder: Path, row: Any) -> None:
    tokens = TokenFile(folder)
    tokens.put(GIT, token())
    (folder / "tokens.json").write_text(json.dumps({WIKI: row}))
    assert tokens.get(WIKI) is None


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotKeep, match="file exists"):
        TokenFile(tmp_path / "file" / "ztproxy").put(WIKI, token())


def test_the_file_is_where_state_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value, place in ((str(tmp_path / "x"), tmp_path / "x"), ("", None), ("relative", None)):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        kept = find_tokens()
        expected = place or tmp_path / "home" / ".local" / "state"
        assert kept.place == str(expected / "ztproxy" / "tokens.json")


class Ring(types.ModuleType):
    """The package `keyring`, as far as it is used: with one backend, which can be locked."""

    def __init__(self, priority: float) -> None:
        super().__init__("keyring")
        self.errors = types.SimpleNamespace(KeyringError=RingError, PasswordDeleteError=NotThereError)
        self.priority = priority
        self.locked = False
        self.kept: dict[tuple[str, str], str] = {}

    def get_keyring(self) -> Ring:
        return self

    def get_password(self, service: str, name: str) -> str | None:
        self._open()
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, text: str) -> None:
        self._open()
        self.kept[service, name] = text

    def delete_password(self, service: str, name: str) -> None:
        self._open()
        if self.kept.pop((service, name), None) is None:
            raise NotThereError

    def _open(self) -> None:
        if self.locked:
            raise RingError("the secret is ztcl_x")


class RingError(Exception):
    """What every error of the package is."""


class NotThereError(RingError):
    """There is nothing to delete."""


def test_a_keyring_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(5)
    monkeypatch.setitem(sys.modules, "keyring", ring)
    tokens, mine = find_tokens(), token()
    assert isinstance(tokens, SystemKeyring)
    tokens.put(WIKI, mine)
    assert (tokens.get(WIKI), tokens.get(GIT)) == (mine, None)
    assert list(ring.kept) == [("ztproxy", WIKI)]
    ring.kept["ztproxy", GIT] = "of somebody else"
    assert tokens.get(GIT) is None
    for _ in range(2):
        tokens.drop(WIKI)
    assert tokens.get(WIKI) is None


def test_a_keyring_that_keeps_nothing_secret_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "keyring", Ring(0.5))
    assert isinstance(find_tokens(), TokenFile)


def test_a_keyring_that_is_locked_is_told_and_no_file_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(5)
    monkeypatch.setitem(sys.modules, "keyring", ring)
    tokens, ring.locked = find_tokens(), True
    for call in (lambda: tokens.get(WIKI), lambda: tokens.put(WIKI, token()), lambda: tokens.drop(WIKI)):
        with pytest.raises(CannotKeep, match=r"^the keyring cannot be used: RingError$"):
            call()

    def broken() -> Ring:
        raise OSError("no bus")

    monkeypatch.setattr(ring, "get_keyring", broken)
    with pytest.raises(CannotKeep, match=r"^the keyring cannot be used: OSError$"):
        find_tokens()
