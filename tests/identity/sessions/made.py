"""Sessions and handles to keep."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from proxy.identity.sessions.session import HandleRecord, Session, digest_of, new_handle, new_session_id

HOST = "wiki.example.org"
ISSUER_URL = "https://login.example.org"


def session(**changes: Any) -> Session:
    """Return a session that began now."""
    now = time.time()
    made = Session(
        id=new_session_id(),
        issuer="corp",
        issuer_url=ISSUER_URL,
        subject="alice",
        email="alice@example.org",
        groups=("staff", "wiki"),
        claims={"sub": "alice", "realm": {"roles": ["a", "b"]}, "name": "Älice"},
        amr=("pwd", "otp"),
        acr="urn:example:two",
        authenticated_at=now - 1,
        provider_sid="sid-1",
        source="192.0.2.7",
        user_agent="Firefox",
        created_at=now,
        seen_at=now,
        expires_at=now + 3600,
        refresh_at=now + 300,
        refresh_token="sealed-refresh",
        id_token="sealed-id",
    )
    return replace(made, **changes)


def handle(of: Session, host: str = HOST) -> tuple[bytes, HandleRecord]:
    """Return a new handle of a session, and what is kept of it."""
    text = new_handle()
    return text, HandleRecord(digest_of(text), of.id, host, of.created_at)
