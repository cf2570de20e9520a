"""What the config says of sessions, built."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.config.staff import Session, session_mistakes
from proxy.identity.sessions.keeping import build_keeping


def test_a_store_and_keys_are_made_where_there_are_none(tmp_path: Path) -> None:
    state = tmp_path / "state"
    keeping, mistakes = build_keeping(Session(), state, None, make=True)
    assert keeping is not None
    assert mistakes == []
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    again, _ = build_keeping(Session(), state, None, make=True)
    assert again is not None
    assert again.keyring.open("x", keeping.keyring.seal("x", b"data"), 0) == b"data"


def test_whoever_only_looks_leaves_nothing_behind(tmp_path: Path) -> None:
    keeping, mistakes = build_keeping(Session(), tmp_path / "state", None, make=False)
    assert keeping is not None
    assert mistakes == []
    assert list(tmp_path.iterdir()) == []


def test_a_reload_reads_keys_anew_and_lets_the_store_go_on(tmp_path: Path) -> None:
    before, _ = build_keeping(Session(), tmp_path, None, make=True)
    assert before is not None
    keys = tmp_path / "session.keys"
    keys.write_text("new " + "A" * 43 + "=\n" + keys.read_text(), encoding="utf-8")
    after, _ = build_keeping(Session(), tmp_path, before, make=True)
    assert after is not None
    assert (after.store, after.sessions, after.services) == (before.store, before.sessions, before.services)
    assert after.keyring.ids == ("new", *before.keyring.ids)
    other, _ = build_keeping(Session(idle="2m"), tmp_path, before, make=True)
    assert other is not None
    assert other.sessions is not before.sessions


def test_keys_that_cannot_be_used_are_a_mistake(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("nonsense\n", encoding="utf-8")
    keys.chmod(0o600)
    keeping, mistakes = build_keeping(Session(keys_file=keys), tmp_path, None, make=True)
    assert keeping is None
    assert [mistake.location for mistake in mistakes] == [("session", "keys_file")]
    assert "line 1 must be" in mistakes[0].rule
    for make in (True, False):
        keeping, mistakes = build_keeping(Session(), tmp_path / "no" / "such" / "place", None, make=make)
        assert keeping is None
        assert "keys must be readable" in mistakes[0].rule


def test_a_url_is_no_secret_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "https://:hunter2@cache.example.org")
    keys = tmp_path / "session.keys"
    section = Session(store="redis", url_file="env:REDIS_URL", keys_file=keys)
    keeping, mistakes = build_keeping(section, tmp_path, None, make=True)
    assert keeping is None
    assert [(mistake.location, "hunter2" in mistake.rule) for mistake in mistakes] == [(("session", "url_file"), False)]
    monkeypatch.delenv("REDIS_URL")
    assert build_keeping(section, tmp_path, None, make=True)[0] is None


@pytest.mark.parametrize(
    ("section", "key", "rule"),
    [
        (Session(store="redis", keys_file=Path("k")), "url_file", "is required"),
        (Session(store="redis", url_file="env:URL"), "keys_file", "is required"),
        (Session(url_file="env:URL"), "url_file", "must not stand beside"),
        (Session(idle="3h", lifetime="2h"), "idle", "must not be longer"),
    ],
)
def test_what_contradicts_is_a_mistake(section: Session, key: str, rule: str) -> None:
    (mistake,) = session_mistakes(section)
    assert mistake.location == ("session", key)
    assert rule in mistake.rule


def test_a_good_section_has_no_mistake() -> None:
    assert list(session_mistakes(Session())) == []
    assert list(session_mistakes(Session(store="redis", url_file="env:URL", keys_file=Path("k")))) == []
