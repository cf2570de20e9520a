"""Sessions as values."""

from __future__ import annotations

import re

import pytest

from proxy.identity.sessions.service import (
    ServiceToken,
    is_service_token,
    new_service_token,
    principal_of_service,
)
from proxy.identity.sessions.session import (
    decode_session,
    digest_of,
    encode_session,
    new_handle,
    principal_of_session,
)
from tests.identity.sessions.made import handle, session


def test_a_session_comes_back_from_its_text_as_it_was() -> None:
    made = session()
    assert decode_session(encode_session(made), seen_at=made.seen_at, source=made.source, version=made.version) == made


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"id": "a"}', '{"groups": 1, "amr": 2}'])
def test_a_text_that_is_no_session_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_session(text, seen_at=0, source="", version=0)


def test_handles_are_43_characters_of_base64url_and_never_the_same() -> None:
    handles = {new_handle() for _ in range(100)}
    assert len(handles) == 100
    assert all(re.fullmatch(rb"[A-Za-z0-9_-]{43}", each) for each in handles)


def test_a_session_makes_one_principal() -> None:
    made = session()
    principal = principal_of_session(made)
    assert principal_of_session(made) is principal
    assert (principal.kind, principal.method, principal.id, principal.issuer) == ("user", "session", "alice", "corp")
    assert (principal.session, principal.amr, principal.acr) == (made.id, made.amr, made.acr)
    assert (principal.groups, principal.email, principal.expires_at) == (made.groups, made.email, made.expires_at)


def test_nothing_secret_is_in_what_a_session_or_a_handle_looks_like() -> None:
    made = session()
    text, record = handle(made)
    assert "sealed" not in repr(made)
    assert repr(digest_of(text)) not in repr(record)


def test_a_service_token_is_told_by_its_shape() -> None:
    token = new_service_token()
    assert is_service_token(token)
    assert len(token) == 48
    assert not any(map(is_service_token, [b"", token[:-1], token + b"a", b"ztsx_" + token[5:], token + b"\n"]))


def test_a_service_token_makes_one_principal() -> None:
    kept = ServiceToken("backup", digest_of(b"x"), ("jobs",), 100.0, 200.0)
    principal = principal_of_service(kept)
    assert principal_of_service(kept) is principal
    assert (principal.kind, principal.issuer, principal.id) == ("user", "ztproxy", "service:backup")
    assert (principal.groups, principal.expires_at) == (("jobs",), 200.0)
