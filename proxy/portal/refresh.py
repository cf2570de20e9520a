"""Sessions are asked about at their provider while they last: its claims may have changed, or the person be gone.

Who uses a session notices that its time has come, and goes on with what is known; `run` asks the provider. A session
has one refresh token, which many a provider lets nobody use twice: whoever asks holds a lease in the store, so that of
all workers of all hosts one asks. A provider that cannot be asked changes nothing, and is asked again later; one that
says that the grant is gone ends the session. What it gives in the place of a token is kept whatever else fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex

from proxy.identity.login.outcome import Ended, Identity, LoginUnavailable, Postponed
from proxy.identity.sealed import SealBroken
from proxy.identity.sessions.session import Session
from proxy.identity.sessions.store import StoreUnavailable
from proxy.portal.holder import REFRESH_TOKEN, with_identity, with_refresh_token
from proxy.portal.site import Site

# Longer than all that is asked of a provider may take: two that ask with one token would end the session.
_LEASE_SECONDS = 90.0
_PAUSE_SECONDS = 30.0  # after a provider that did not answer
_ATTEMPTS = 5  # to write what others write too
_AT_ONCE = 16
_GRACE_SECONDS = 5.0
_NOTICED = 10_000


class Refresher:
    """Refreshes sessions of one sign-in host; it outlives reloads.

    Args:
        site: providers, store and keyring; a reload puts another one in its place.
        clock: POSIX seconds.
    """

    def __init__(self, site: Site, clock: Callable[[], float] = time.time) -> None:
        self.site = site
        self._clock = clock
        self._owner = token_hex(8)
        self._noticed: dict[str, None] = {}
        self._paused: dict[str, float] = {}  # until when a session is not asked about again
        self._wanted = asyncio.Event()

    def notice(self, session: Session, now: float) -> None:
        """Take note that a session is used; cheap, for it is told of every request."""
        if session.refresh_at is None or now < session.refresh_at or session.id in self._noticed:
            return
        if now < self._paused.get(session.id, 0.0) or len(self._noticed) >= _NOTICED:
            return
        self._noticed[session.id] = None
        self._wanted.set()

    async def run(self) -> None:
        """Refresh what was noticed, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._noticed:
                ids = list(self._noticed)[:_AT_ONCE]
                try:
                    await _to_the_end(asyncio.gather(*(self.refresh(each) for each in ids)))
                finally:
                    for each in ids:
                        self._noticed.pop(each, None)

    async def refresh(self, session_id: str) -> None:
        """Ask a session's provider about it, unless somebody else does so, or has just done."""
        now = self._clock()
        if now < self._paused.get(session_id, 0.0):
            return  # a lease is one's own to take again, so that it does not part those of one process
        if len(self._paused) >= _NOTICED:
            self._paused = {each: until for each, until in self._paused.items() if until > now}
        self._paused[session_id] = now + _PAUSE_SECONDS
        try:
            if not await self.site.store.lease(_lease(session_id), self._owner, _LEASE_SECONDS):
                return
            if await self._refresh_alone(session_id):
                await self.site.store.release(_lease(session_id), self._owner)
                self._paused.pop(session_id, None)
        except StoreUnavailable:
            return  # nothing was lost: the session is asked about at its next use

    async def _refresh_alone(self, session_id: str) -> bool:
        """Refresh a session; return False where the provider could not be asked, so that the lease is the pause."""
        session = await self.site.store.get(session_id)
        if session is None or session.refresh_at is None or self._clock() < session.refresh_at:
            return True
        provider = self.site.providers.get(session.issuer)
        if provider is None:
            return False
        try:
            token = self.site.keyring.open(REFRESH_TOKEN, session.refresh_token, self._clock()).decode()
            answer = await provider.refresh(token, session)
        except LoginUnavailable:
            return False
        except SealBroken as broken:
            await self.site.store.end(session_id, f"refresh token: {broken}")
            return True
        if isinstance(answer, Ended):
            await self.site.store.end(session_id, answer.reason)
            return True
        await self._keep(session, answer)
        return not isinstance(answer, Postponed)

    async def _keep(self, session: Session, answer: Identity | Postponed) -> None:
        """Write down what a provider says now."""
        current: Session | None = session
        for _ in range(_ATTEMPTS):
            if current is None or await self.site.store.update(self._changed(current, answer), current.version):
                return
            current = await self.site.store.get(session.id)

    def _changed(self, current: Session, answer: Identity | Postponed) -> Session:
        """Return a session as a refresh leaves it, which cannot change when and how the person signed in."""
        if isinstance(answer, Postponed):
            return with_refresh_token(current, answer.refresh_token, self.site.keyring)
        fresh = with_identity(current, answer, self.site.keyring, self._clock() + self.site.refresh)
        return replace(fresh, authenticated_at=current.authenticated_at, amr=current.amr, acr=current.acr)


async def _to_the_end(work: asyncio.Future[list[None]]) -> None:
    """Wait for work, a while even when cancelled: a refresh token that came and was not kept ends a session."""
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work], timeout=_GRACE_SECONDS)
        raise


def _lease(session_id: str) -> str:
    return f"refresh {session_id}"
