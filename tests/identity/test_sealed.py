"""Sealed text, and the keys that open it."""

from __future__ import annotations

import base64
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from proxy.identity.sealed import Keyring, SealBroken, SealExpired

KEY, OTHER = b"k" * 32, b"o" * 32
RING = Keyring.of(KEY)


@pytest.mark.parametrize("data", [b"", b"a", b"\x00" * 33, os.urandom(5000)])
def test_what_was_sealed_comes_back(data: bytes) -> None:
    assert RING.open("state", RING.seal("state", data), 0) == data


def test_two_seals_of_one_content_have_nothing_in_common() -> None:
    first, second = RING.seal("state", b"same"), RING.seal("state", b"same")
    assert first != second
    assert "=" not in first
    assert b"same" not in base64.urlsafe_b64decode(first + "==")


def test_it_opens_until_it_expires() -> None:
    text = RING.seal("state", b"x", expires=100.0)
    assert RING.open("state", text, 99.9) == b"x"
    with pytest.raises(SealExpired):
        RING.open("state", text, 100.0)


def test_it_opens_for_its_purpose_alone() -> None:
    with pytest.raises(SealBroken):
        RING.open("code", RING.seal("state", b"x"), 0)


def test_no_bit_of_it_can_be_changed() -> None:
    text = RING.seal("state", b"secret", expires=100.0)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for position in range(len(raw)):
        raw[position] ^= 1
        with pytest.raises(SealBroken) as broken:
            RING.open("state", base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), 0)
        assert "secret" not in str(broken.value)
        raw[position] ^= 1


def test_a_part_of_it_does_not_open() -> None:
    text = RING.seal("state", b"secret")
    for cut in range(len(text)):
        with pytest.raises(SealBroken):
            RING.open("state", text[:cut], 0)


@pytest.mark.parametrize("text", ["ä", "a b", "=", "AAAA=", "A", "AB", "////", "++++"])
def test_what_is_no_base64url_does_not_open(text: str) -> None:
    with pytest.raises(SealBroken):
        RING.open("state", text, 0)


def test_one_content_has_one_spelling() -> None:
    text = RING.seal("state", b"1")
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        if last != text[-1]:
            with pytest.raises(SealBroken):
                RING.open("state", text[:-1] + last, 0)


def test_old_keys_open_and_the_first_seals() -> None:
    old, new = Keyring({"old": KEY}), Keyring({"new": OTHER, "old": KEY})
    assert new.open("state", old.seal("state", b"x"), 0) == b"x"
    with pytest.raises(SealBroken, match="known"):
        old.open("state", new.seal("state", b"x"), 0)


def test_a_keyring_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "session.keys"
    first, second = Keyring.load_or_make(path), Keyring.load_or_make(path)
    assert second.open("state", first.seal("state", b"x"), 0) == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def _made(path: Path) -> tuple[str, ...]:
    return Keyring.load_or_make(path).ids


def test_processes_that_start_at_once_end_with_one_keyring(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        rings = pool.map(_made, [tmp_path / "session.keys"] * 12, chunksize=1)
    assert len(set(rings)) == 1


def line(name: str, key: bytes) -> str:
    return f"{name} {base64.b64encode(key).decode()}\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_file_of_keys_has_a_key_a_line_and_comments(tmp_path: Path) -> None:
    text = "# ours\n\n" + line("2026-11", KEY) + line("2026-10", OTHER).replace("\n", "  # until December\n")
    ring = Keyring.load(written(tmp_path / "keys", text))
    assert ring.ids == ("2026-11", "2026-10")
    assert base64.b64encode(KEY).decode() not in repr(ring)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "there must be a key"),
        ("a\n", "line 1 must be"),
        ("a AAAA\n", "line 1 must be"),
        (line("a", KEY) + "b ?\n", "line 2 must be"),
        (line("a", KEY) + line("a", OTHER), "line 2 must have an id of its own"),
        (line("a/b", KEY), "a key's id must be"),
        (line("a", KEY) * 2000, "at most"),
    ],
)
def test_a_bad_file_of_keys_is_refused_without_telling_a_key(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as broken:
        Keyring.load(written(tmp_path / "keys", text))
    assert base64.b64encode(KEY).decode() not in str(broken.value)


def test_keys_that_the_world_can_read_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "keys", line("a", KEY))
    path.chmod(0o644)
    with pytest.raises(ValueError, match="must not be readable by the world"):
        Keyring.load(path)
