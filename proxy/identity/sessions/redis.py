"""Sessions in a Redis server, for several hosts.

Each call is one script or command, so that the server does it whole. What it acknowledges it keeps as long as its own
settings say: `appendfsync always` and `maxmemory-policy noeviction` are what a store of sessions wants.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import AuthenticationError, OutOfMemoryError, ReadOnlyError, RedisError

from proxy.identity.sessions import scripts
from proxy.identity.sessions.service import ServiceToken
from proxy.identity.sessions.session import HandleRecord, Session, decode_session, encode_session
from proxy.identity.sessions.store import ENDING_SECONDS, Changes, Cursor, Ended, Seen, StoreUnavailable

_PREFIX: Final = "ztproxy:"
_POLL_SECONDS: Final = 0.2
_DEADLINE: Final = 2.0
_SOCKET_SECONDS: Final = 1.0
_CONNECTIONS: Final = 32


class RedisStore:
    """The store of one server; see `store.Store` for what each method promises.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with its password; it is never told to anybody.
        clock: POSIX seconds.
        deadline: seconds for a call.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time, deadline: float = _DEADLINE) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._scripts: dict[str, Any] = {}
        self._clock = clock
        self._deadline = deadline

    async def _ask(self, *command: Any) -> Any:
        return await self._bounded(lambda: self._redis.execute_command(*command))  # type: ignore[no-untyped-call]

    async def _script(self, text: str, *values: Any) -> Any:
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self._redis.register_script(text)
        return await self._bounded(lambda: script(keys=[_PREFIX], args=values))

    async def _bounded(self, call: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(self._deadline):
                return await call()
        except TimeoutError:
            raise StoreUnavailable(f"Redis did not answer within {self._deadline:g} s") from None
        except (RedisError, OSError) as error:
            raise StoreUnavailable(_reason(error)) from None

    # Sessions and their handles.

    async def create(self, session: Session, handle: HandleRecord, *, begun_at: float) -> bool:
        """Keep a new session and its first handle, unless the provider has ended it meanwhile."""
        url, subject, sid = session.issuer_url, session.subject, session.provider_sid
        endings = (_who(url, subject, None), _who(url, None, sid), _who(url, subject, sid))
        values = (encode_session(session), session.seen_at, session.source, session.version)
        ends = (_ms(session.expires_at), _names(session))
        return bool(
            await self._script(scripts.CREATE, begun_at, session.id, *values, *ends, *endings, *_handle_values(handle))
        )

    async def add_handle(self, handle: HandleRecord) -> bool:
        """Keep one more handle of a session."""
        digest, *rest = _handle_values(handle)
        return bool(await self._script(scripts.ADD_HANDLE, digest, handle.session_id, *rest))

    async def find(self, digest: bytes) -> tuple[Session, HandleRecord] | None:
        """Return the session that a handle names, and what is kept of the handle."""
        found = await self._script(scripts.FIND, digest.hex())
        return None if found is None else (_session(found[1]), _handle(digest, found[0]))

    async def replace_handle(self, old: bytes, new: HandleRecord) -> bool:
        """Put a handle in the place of another one of the same session, once."""
        digest, *rest = _handle_values(new)
        return bool(await self._script(scripts.REPLACE_HANDLE, old.hex(), digest, new.session_id, *rest))

    async def drop_handle(self, digest: bytes) -> None:
        """Forget a handle; its session goes on."""
        await self._script(scripts.DROP_HANDLE, digest.hex())

    async def handles(self, session_id: str) -> list[HandleRecord]:
        """Return what is kept of a session's handles."""
        found = []
        for digest in await self._ask("SMEMBERS", f"{_PREFIX}sh:{session_id}"):
            key = f"{_PREFIX}h:{digest.decode()}"
            values = await self._ask("HMGET", key, "id", "host", "created_at", "device")
            if values[0] is not None:
                found.append(_handle(bytes.fromhex(digest.decode()), values))
        return sorted(found, key=lambda each: each.created_at)

    async def get(self, session_id: str) -> Session | None:
        """Return a session that has not ended."""
        key = f"{_PREFIX}s:{session_id}"
        *values, ended_at = await self._ask("HMGET", key, "body", "seen_at", "source", "version", "ended_at")
        return None if values[0] is None or ended_at is not None else _session(values)

    async def ended(self, session_id: str) -> Ended | None:
        """Return how a session ended."""
        at, reason = await self._ask("HMGET", f"{_PREFIX}s:{session_id}", "ended_at", "reason")
        return None if at is None else Ended(float(at), reason.decode())

    async def sessions(self, *, user: str | None = None, limit: int = 1000) -> list[Session]:
        """Return sessions that have not ended, last seen first."""
        found: list[Session] = []
        for each in await self._ask("ZREVRANGE", f"{_PREFIX}all", 0, -1):
            if len(found) >= limit:
                break
            session = await self.get(each.decode())
            if session is not None and (user is None or user == session.subject or _same(user, session.email)):
                found.append(session)
        return found

    async def touch(self, seen: Sequence[Seen]) -> None:
        """Write down when sessions were last used."""
        values = [value for each in seen for value in (each.session_id, each.at, each.source)]
        await self._script(scripts.TOUCH, *values)

    async def update(self, session: Session, expected_version: int) -> bool:
        """Replace a session if it still has the version that was read."""
        values = (encode_session(session), expected_version, _ms(session.expires_at), _names(session))
        return bool(await self._script(scripts.UPDATE, session.id, *values))

    # Ends.

    async def end(self, session_id: str, reason: str) -> bool:
        """End a session with all of its handles."""
        return bool(await self._script(scripts.END, session_id, self._clock(), reason))

    async def end_matching(
        self, issuer_url: str, subject: str | None, provider_sid: str | None, reason: str
    ) -> list[str]:
        """End what a provider says has ended, sign-ins under way too."""
        subject, provider_sid = subject or None, provider_sid or None
        if subject is None and provider_sid is None:
            raise ValueError("a subject or the provider's session must be named")
        now = self._clock()
        who = _who(issuer_url, subject, provider_sid)
        ended = await self._script(scripts.END_MATCHING, who, _ms(now + ENDING_SECONDS), now, reason)
        return [each.decode() for each in ended]

    # Values that are good once, codes and leases.

    async def once(self, kind: str, key: str, expires_at: float) -> bool:
        """Return True the first time that a key of a kind comes, and False until it has expired."""
        name = f"{_PREFIX}once:{kind}:{sha256(key.encode()).hexdigest()}"
        if expires_at <= self._clock():
            return bool(await self._ask("EXISTS", name) == 0)
        return await self._ask("SET", name, "1", "NX", "PXAT", _ms(expires_at)) is not None

    async def put_code(self, digest: bytes, payload: bytes, expires_at: float) -> None:
        """Keep what a one-time code stands for."""
        await self._ask("SET", f"{_PREFIX}code:{digest.hex()}", payload, "PXAT", _ms(expires_at))

    async def take_code(self, digest: bytes) -> bytes | None:
        """Return what a code stands for, the first time."""
        taken: bytes | None = await self._ask("GETDEL", f"{_PREFIX}code:{digest.hex()}")
        return taken

    async def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take, or prolong, the sole right to do something."""
        return bool(await self._script(scripts.LEASE, name, owner, max(1, int(seconds * 1000))))

    async def release(self, name: str, owner: str) -> None:
        """Give up a lease that is one's own."""
        await self._script(scripts.RELEASE, name, owner)

    # What has changed.

    async def changes(self, cursor: Cursor | None) -> Changes:
        """Return what has changed since a cursor."""
        known = -1 if cursor is None else cursor.number
        epoch, last, rows = await self._script(scripts.CHANGES, known, secrets.token_hex(16))
        now = Cursor(epoch.decode(), last)
        ids = frozenset(row.decode().partition(" ")[2] for row in rows)
        told = cursor is not None and cursor.epoch == now.epoch and len(rows) == last - cursor.number
        return Changes(now, ids if told else None)

    async def wait_changes(self, cursor: Cursor) -> Changes:
        """Wait for a moment, and return what has changed since a cursor."""
        await asyncio.sleep(_POLL_SECONDS)
        return await self.changes(cursor)

    # Service tokens.

    async def add_service_token(self, token: ServiceToken) -> bool:
        """Keep a service token."""
        used = "" if token.used_at is None else token.used_at
        values = (token.name, token.digest.hex(), json.dumps(token.groups), token.created_at, token.expires_at, used)
        return bool(await self._script(scripts.ADD_TOKEN, *values, self._clock()))

    async def service_tokens(self) -> list[ServiceToken]:
        """Return what is kept of service tokens, by name."""
        names = sorted(name.decode() for name in await self._ask("SMEMBERS", f"{_PREFIX}tokens"))
        found = [await self._token(name) for name in names]
        return [each for each in found if each is not None]

    async def revoke_service_token(self, name: str) -> bool:
        """Forget a service token."""
        return bool(await self._script(scripts.REVOKE_TOKEN, name))

    async def find_service_token(self, digest: bytes) -> ServiceToken | None:
        """Return what is kept of a service token."""
        name = await self._ask("GET", f"{_PREFIX}token-of:{digest.hex()}")
        return None if name is None else await self._token(name.decode())

    async def _token(self, name: str) -> ServiceToken | None:
        fields = ("digest", "groups", "created_at", "expires_at", "used_at")
        values = await self._ask("HMGET", f"{_PREFIX}token:{name}", *fields)
        if values[0] is None:
            return None
        digest, groups, created_at, expires_at, used_at = (value.decode() for value in values)
        used = float(used_at) if used_at else None
        groups = tuple(json.loads(groups))
        return ServiceToken(name, bytes.fromhex(digest), groups, float(created_at), float(expires_at), used)

    async def touch_service_token(self, name: str, at: float) -> None:
        """Write down when a service token was last used."""
        await self._script(scripts.TOUCH_TOKEN, name, at)

    async def sweep(self, now: float, seen_before: float) -> None:
        """Forget sessions that have expired or that nobody uses; the rest expires by itself."""
        await self._script(scripts.SWEEP, _ms(now), seen_before)

    async def close(self) -> None:
        """Let go of the connections."""
        with suppress(RedisError, OSError):
            await self._redis.aclose(close_connection_pool=True)


def _reason(error: Exception) -> str:
    """Return a reason in our own words: a library's may hold the URL."""
    if isinstance(error, AuthenticationError):
        return "Redis did not accept the credentials"
    if isinstance(error, OutOfMemoryError):
        return "Redis has no memory left"
    if isinstance(error, ReadOnlyError):
        return "Redis cannot be written: it is a replica"
    return f"Redis cannot be asked ({type(error).__name__})"


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _who(issuer_url: str, subject: str | None, provider_sid: str | None) -> str:
    return sha256(json.dumps([issuer_url, subject, provider_sid]).encode()).hexdigest()


def _names(session: Session) -> str:
    """Return under what a provider may name a session."""
    url, subject, sid = session.issuer_url, session.subject, session.provider_sid
    named = [_who(url, subject, None)] + ([_who(url, None, sid), _who(url, subject, sid)] if sid else [])
    return " ".join(named)


def _same(user: str, email: str) -> bool:
    return bool(email) and user.lower() == email.lower()


def _handle_values(handle: HandleRecord) -> tuple[str | float, ...]:
    return handle.digest.hex(), handle.host, handle.created_at, handle.device


def _handle(digest: bytes, values: list[bytes]) -> HandleRecord:
    session_id, host, created_at, device = (value.decode() for value in values)
    return HandleRecord(digest, session_id, host, float(created_at), device)


def _session(values: list[bytes]) -> Session:
    body, seen_at, source, version = (value.decode() for value in values)
    try:
        return decode_session(body, seen_at=float(seen_at), source=source, version=int(version))
    except ValueError:
        raise StoreUnavailable("Redis holds what is no session of ours") from None
