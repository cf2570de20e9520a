"""What keeps sessions, handles, one-time values and service tokens must do, whatever it is.

Every method answers within a deadline or raises StoreUnavailable: full, locked, corrupt, gone or slow are one thing to
a request, which is refused. What a method has returned from is kept, whatever happens to the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.errors import SESSIONS_UNAVAILABLE, Refused
from proxy.identity.sessions.service import ServiceToken
from proxy.identity.sessions.session import HandleRecord, Session

# An ending is remembered for sign-ins that are under way, and those last ten minutes at most.
ENDING_SECONDS: Final = 3600.0


class StoreUnavailable(Refused):
    """The store cannot be asked, or could not keep what it was given; `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(SESSIONS_UNAVAILABLE, reason)


@dataclass(frozen=True, slots=True)
class Seen:
    """That a session was used: when (POSIX seconds), and from which address."""

    session_id: str
    at: float
    source: str


@dataclass(frozen=True, slots=True)
class Ended:
    """That a session has ended: when (POSIX seconds), and why."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far somebody has followed the changes of a store: `epoch` is another one after a store was replaced."""

    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a cursor.

    Args:
        cursor: from where to follow on.
        ids: sessions, and service tokens as `service:NAME`; None where that cannot be told: everything may have.
    """

    cursor: Cursor
    ids: frozenset[str] | None


class Store(Protocol):
    """Where sessions are kept."""

    async def create(self, session: Session, handle: HandleRecord, *, begun_at: float) -> bool:
        """Keep a new session and its first handle.

        Args:
            session: its `version` is kept as it is.
            handle: of the host that it was made at.
            begun_at: POSIX seconds at which the sign-in began.

        Returns:
            False, and nothing is kept, where the provider has ended the session (its `provider_sid`, or all of its
            subject's since `begun_at`) while the sign-in was under way.
        """

    async def add_handle(self, handle: HandleRecord) -> bool:
        """Keep one more handle of a session. Return False where the session has ended."""

    async def find(self, digest: bytes) -> tuple[Session, HandleRecord] | None:
        """Return the session that a handle names, and what is kept of the handle."""

    async def replace_handle(self, old: bytes, new: HandleRecord) -> bool:
        """Put a handle in the place of another one of the same session, once. Return False where there was none."""

    async def drop_handle(self, digest: bytes) -> None:
        """Forget a handle; its session goes on."""

    async def handles(self, session_id: str) -> list[HandleRecord]:
        """Return what is kept of a session's handles."""

    async def get(self, session_id: str) -> Session | None:
        """Return a session that has not ended."""

    async def ended(self, session_id: str) -> Ended | None:
        """Return how a session ended, until its absolute end; None where it goes on or was never there."""

    async def sessions(self, *, user: str | None = None, limit: int = 1000) -> list[Session]:
        """Return sessions that have not ended, last seen first; `user` is an e-mail address or a subject."""

    async def touch(self, seen: Sequence[Seen]) -> None:
        """Write down when sessions were last used. This is no change."""

    async def update(self, session: Session, expected_version: int) -> bool:
        """Replace a session if it still has the version that was read, and count its version on by one.

        Return False where somebody else changed it or it has ended. `seen_at` and `source` are left as they are.
        """

    async def end(self, session_id: str, reason: str) -> bool:
        """End a session with all of its handles. Return False where there is none.

        That it ended is kept until its absolute end: a step-up under way must not bring it back.
        """

    async def end_matching(
        self, issuer_url: str, subject: str | None, provider_sid: str | None, reason: str
    ) -> list[str]:
        """End what a provider says has ended (OIDC Back-Channel Logout 1.0 section 2.6), sign-ins under way too.

        With `provider_sid` that one session of the provider's, and only if it is `subject`'s where both are given; else
        every session of the subject. Return the ids.
        """

    async def once(self, kind: str, key: str, expires_at: float) -> bool:
        """Return True the first time that a key of a kind comes, and False until it has expired.

        The key may be a secret: its digest is kept.
        """

    async def put_code(self, digest: bytes, payload: bytes, expires_at: float) -> None:
        """Keep what a one-time code stands for."""

    async def take_code(self, digest: bytes) -> bytes | None:
        """Return what a code stands for, the first time."""

    async def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take, or prolong, the sole right to do something. Return False while somebody else has it."""

    async def release(self, name: str, owner: str) -> None:
        """Give up a lease that is one's own."""

    async def changes(self, cursor: Cursor | None) -> Changes:
        """Return what has changed since a cursor; None begins to follow, and everything may have changed."""

    async def wait_changes(self, cursor: Cursor) -> Changes:
        """Wait until something may have changed, half a second at most, and return it."""

    async def add_service_token(self, token: ServiceToken) -> bool:
        """Keep a service token. Return False where its name is taken by one that has not expired."""

    async def service_tokens(self) -> list[ServiceToken]:
        """Return what is kept of service tokens, by name."""

    async def revoke_service_token(self, name: str) -> bool:
        """Forget a service token. Return False where there is none."""

    async def find_service_token(self, digest: bytes) -> ServiceToken | None:
        """Return what is kept of a service token; it may have expired."""

    async def touch_service_token(self, name: str, at: float) -> None:
        """Write down when a service token was last used."""

    async def sweep(self, now: float, seen_before: float) -> None:
        """Forget what has expired, and sessions that were last used before `seen_before`, both POSIX seconds."""

    async def close(self) -> None:
        """Let go of files and connections."""
