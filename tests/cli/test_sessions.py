"""`ztproxy sessions` and `ztproxy service-token`: what an administrator sees and ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli import app
from proxy.identity.sessions.session import Session, digest_of
from proxy.identity.sessions.sqlite import SQLiteStore
from tests.identity.sessions.made import handle, session

T = TypeVar("T")
CONFIG = """
version: 1
trust_domain: example.org
state_directory: state
listeners: [{name: web, address: "127.0.0.1:0", plaintext: true}]
upstreams: {wiki: {endpoints: ["http://127.0.0.1:9"]}}
routes: [{name: wiki, host: wiki.example.org, upstream: wiki, allow: [{authenticated: true}]}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ztproxy.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def asked(config: Path, question: Callable[[SQLiteStore], Awaitable[T]]) -> T:
    """Ask the store as the proxy would."""

    async def ask() -> T:
        store = SQLiteStore(config.parent / "state" / "sessions.db")
        try:
            return await question(store)
        finally:
            await store.close()

    return asyncio.run(ask())


def keep(config: Path, *sessions: Session) -> None:
    async def write(store: SQLiteStore) -> None:
        for each in sessions:
            assert await store.create(each, handle(each)[1], begun_at=0)
        await store.changes(None)

    asked(config, write)


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "-c", str(config)])


def done(config: Path, *words: str) -> str:
    result = run(config, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_sessions_are_listed_with_user_device_address_and_last_use(config: Path) -> None:
    ana = session(email="ana@example.org", device="mdm:1", seen_at=1_800_000_000.0)
    bob = replace(session(), subject="bob", email="", source="", seen_at=1_700_000_000.0)
    keep(config, bob, ana)
    head, first, second = done(config, "sessions", "list").splitlines()
    assert head.split("  ")[0] == "SESSION"
    assert first.split() == [ana.id, "ana@example.org", "mdm:1", "192.0.2.7", "2027-01-15T08:00:00Z"]
    assert second.split() == [bob.id, "bob", "-", "-", "2023-11-14T22:13:20Z"]
    assert len(json.loads(done(config, "sessions", "list", "--user", "bob", "--format", "json"))) == 1


def test_a_session_is_shown_without_what_is_secret(config: Path) -> None:
    made = session(user_agent="Firefox\x1b[2J")
    keep(config, made)
    shown = done(config, "sessions", "show", made.id)
    assert made.id in shown
    assert "wiki.example.org" in shown
    assert "\x1b" not in shown
    facts = json.loads(done(config, "sessions", "show", made.id, "--format", "json"))
    assert (facts["user"], facts["hosts"]) == ("alice@example.org", ["wiki.example.org"])
    assert not any(secret in shown for secret in ("sealed", "digest", "refresh"))


def test_a_session_is_revoked_and_its_end_is_shown(config: Path) -> None:
    made, other = session(), session()
    keep(config, made, other)
    assert done(config, "sessions", "revoke", made.id) == "1 session ended\n"
    assert "revoked by an administrator" in done(config, "sessions", "show", made.id)
    assert run(config, "sessions", "revoke", made.id).exit_code == 1
    assert run(config, "sessions", "show", "0" * 32).exit_code == 1
    assert asked(config, lambda store: store.get(other.id)) is not None


def test_every_session_of_a_user_is_revoked_and_the_sign_ins_under_way(config: Path) -> None:
    keep(config, session(), session(issuer_url="https://other.example"), replace(session(), subject="bob", email=""))
    begun = time.time()
    assert done(config, "sessions", "revoke", "--user", "alice@example.org") == "2 sessions ended\n"
    late = session()
    assert not asked(config, lambda store: store.create(late, handle(late)[1], begun_at=begun))
    assert len(asked(config, lambda store: store.sessions())) == 1


def test_one_session_or_one_user_is_meant(config: Path) -> None:
    keep(config)
    assert run(config, "sessions", "revoke").exit_code == 2
    assert run(config, "sessions", "revoke", "0" * 32, "--user", "bob").exit_code == 2


def test_a_service_token_is_printed_once_and_kept_as_its_hash(config: Path) -> None:
    keep(config)
    result = run(config, "service-token", "create", "backup", "--group", "jobs", "--group", "night", "--expires", "30d")
    assert result.exit_code == 0
    token = result.stdout.strip().encode()
    assert b"\n" not in token
    kept = asked(config, lambda store: store.find_service_token(digest_of(token)))
    assert kept is not None
    assert (kept.name, kept.groups) == ("backup", ("jobs", "night"))
    assert abs(kept.expires_at - time.time() - 30 * 86400) < 60
    for file in (config.parent / "state").iterdir():
        assert token not in file.read_bytes()
    listed = done(config, "service-token", "list")
    assert "backup" in listed
    assert "never" in listed
    assert token.decode() not in listed
    assert json.loads(done(config, "service-token", "list", "--format", "json"))[0]["groups"] == ["jobs", "night"]
    assert run(config, "service-token", "create", "backup").exit_code == 2
    done(config, "service-token", "revoke", "backup")
    assert run(config, "service-token", "revoke", "backup").exit_code == 1
    assert asked(config, lambda store: store.find_service_token(digest_of(token))) is None


@pytest.mark.parametrize(
    "words", [("a b",), ("",), ("x" * 64,), ("backup", "--expires", "0s"), ("backup", "--expires", "soon")]
)
def test_a_service_has_a_name_and_its_token_ends(config: Path, words: tuple[str, ...]) -> None:
    keep(config)
    result = run(config, "service-token", "create", *words)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_file_that_the_proxy_has_not_made_is_not_made_here(config: Path) -> None:
    result = run(config, "sessions", "list")
    assert result.exit_code == 2
    assert "ztproxy makes it when it starts" in result.stderr
    assert not (config.parent / "state").exists()


def test_a_store_that_cannot_be_asked_is_told(config: Path) -> None:
    keep(config)
    (config.parent / "state" / "sessions.db").write_bytes(b"nonsense" * 1000)
    result = run(config, "sessions", "list")
    assert result.exit_code == 2
    assert "sessions cannot be asked: the session file is damaged" in result.stderr


def test_a_bad_config_is_told_as_everywhere(config: Path) -> None:
    config.write_text("version: 2\n", encoding="utf-8")
    result = run(config, "sessions", "list")
    assert result.exit_code == 2
    assert "version" in result.stderr
