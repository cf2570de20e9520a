"""Whose browser this is: sessions found by handle, made of a provider's answer, and given handles.

Each sign-in and each step-up gives the browser a new handle, and the old one is worth nothing from then on (session
fixation). A sign-in of the same person renews the session that is there, so that a second tab does not end what the
first one has just opened; one of somebody else ends it.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.errors import SIGN_IN_EXPIRED, SIGN_IN_REFUSED
from proxy.http.cookies import HANDLE, handle_of, set_cookie
from proxy.identity.login.outcome import Identity
from proxy.identity.sealed import Keyring
from proxy.identity.sessions.session import HandleRecord, Session, digest_of, new_handle, new_session_id
from proxy.portal.request import PortalRequest, Stopped
from proxy.portal.returning import authority_of
from proxy.portal.site import Site
from proxy.portal.state import Begun

Field = tuple[bytes, bytes]
_ATTEMPTS = 3  # to write what others write too
REFRESH_TOKEN, ID_TOKEN = "refresh token", "id token"  # what a text is sealed for


class Holder:
    """The sessions of browsers, as the portal needs them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def session(self, request: PortalRequest) -> Session | None:
        """Return the session that a request carries a handle of, good on the host that is asked.

        Raises:
            StoreUnavailable: nobody knows.
        """
        handle = handle_of(request.headers)
        if handle is None:
            return None
        host = authority_of(request.target.host, request.target.port)
        device, source = _device(request), request.source
        known = self._site.sessions.recall(handle, host, request.now, device=device, source=source)
        return known or await self._site.sessions.read(handle, host, request.now, device=device, source=source)

    async def sign_in(self, identity: Identity, begun: Begun, request: PortalRequest) -> tuple[Session, Field]:
        """Make a session of a provider's verified answer, or renew the one of the same person.

        Returns:
            The session, and the field that gives the browser a handle of it.

        Raises:
            Stopped: the provider has ended the session while it was being made.
            StoreUnavailable: it could not be kept.
        """
        before = await self.session(request)
        now = request.now
        if before is not None and _is_same_sign_in(before, identity):
            renewed = await self._renew(before.id, identity, now)
            if renewed is not None:
                return renewed, await self._give_handle(renewed, self._site.authority, request)
        session = self._renewed(self._new(identity, request), identity, now)
        handle = new_handle()
        record = self._record(handle, session, self._site.authority, request)
        if not await self._site.store.create(session, record, begun_at=begun.at):
            raise Stopped(SIGN_IN_REFUSED, "a provider must not have ended the session while the sign-in was under way")
        if before is not None:
            await self._site.store.end(before.id, "somebody signed in anew")
        return session, self._field(handle, session, now)

    async def arrive(self, session_id: str, request: PortalRequest) -> Field:
        """Give an application host a handle of a session, and return the field that sets it.

        Raises:
            Stopped: the session has ended meanwhile, or it is bound to another device.
            StoreUnavailable: it could not be kept.
        """
        session = await self._site.store.get(session_id)
        if session is None or session.expires_at <= request.now:
            raise Stopped(SIGN_IN_EXPIRED, "a session must not have ended before it is handed over")
        if self._site.bind_device and session.device and session.device != _device(request):
            raise Stopped(SIGN_IN_REFUSED, "a session must be handed over on the device that it was made with")
        host = authority_of(request.target.host, request.target.port)
        return await self._give_handle(session, host, request)

    async def _renew(self, session_id: str, identity: Identity, now: float) -> Session | None:
        """Renew a session as it is in the store by now; None where it has ended, or will not hold still."""
        for _ in range(_ATTEMPTS):
            current = await self._site.store.get(session_id)
            if current is None:
                return None
            renewed = self._renewed(current, identity, now)
            if await self._site.store.update(renewed, current.version):
                return renewed
        return None

    async def _give_handle(self, session: Session, host: str, request: PortalRequest) -> Field:
        """Give a browser a new handle in the place of the one it holds; return the field that sets it."""
        store, handle, held = self._site.store, new_handle(), handle_of(request.headers)
        record = self._record(handle, session, host, request)
        if held is not None:
            await store.drop_handle(digest_of(held))
        if not await store.add_handle(record):
            raise Stopped(SIGN_IN_EXPIRED, "a session must not have ended before a handle of it is given out")
        return self._field(handle, session, request.now)

    def _record(self, handle: bytes, session: Session, host: str, request: PortalRequest) -> HandleRecord:
        device = _device(request) if self._site.bind_device else ""
        return HandleRecord(digest_of(handle), session.id, host, request.now, device)

    def _field(self, handle: bytes, session: Session, now: float) -> Field:
        return set_cookie(HANDLE, handle, int(session.expires_at - now))

    def _new(self, identity: Identity, request: PortalRequest) -> Session:
        return Session(
            id=new_session_id(),
            issuer=identity.issuer,
            issuer_url=identity.issuer_url,
            subject=identity.subject,
            authenticated_at=identity.authenticated_at,
            created_at=request.now,
            seen_at=request.now,
            expires_at=request.now + self._site.lifetime,
            device=_device(request),
            source=request.source,
            user_agent=request.value(b"user-agent").decode("latin-1")[:256],
        )

    def _renewed(self, session: Session, identity: Identity, now: float) -> Session:
        kept = with_identity(session, identity, self._site.keyring, now + self._site.refresh)
        return replace(kept, expires_at=now + self._site.lifetime)


def _is_same_sign_in(session: Session, identity: Identity) -> bool:
    """Tell whether a provider speaks of the same person in the same session of its own.

    A session of another `sid` is another one: what the provider ends must not go on under a name that it replaced.
    """
    known = session.issuer, session.subject, session.provider_sid
    return known == (identity.issuer, identity.subject, identity.provider_sid)


def _device(request: PortalRequest) -> str:
    return request.peer.id if request.peer is not None else ""


def with_identity(session: Session, identity: Identity, keyring: Keyring, refresh_at: float) -> Session:
    """Return a session with what its provider says now; tokens sealed, and kept where there is no new one."""
    session = with_refresh_token(session, identity.refresh_token, keyring)
    id_token = keyring.seal(ID_TOKEN, identity.id_token.encode()) if identity.id_token else session.id_token
    return replace(
        session,
        email=identity.email,
        groups=identity.groups,
        claims=identity.claims,
        amr=identity.amr,
        acr=identity.acr,
        authenticated_at=identity.authenticated_at,
        provider_sid=identity.provider_sid or session.provider_sid,
        refresh_at=refresh_at if session.refresh_token else None,
        id_token=id_token,
    )


def with_refresh_token(session: Session, token: str, keyring: Keyring) -> Session:
    """Return a session with the token that its provider gave in the place of the last one; empty: it gave none."""
    return replace(session, refresh_token=keyring.seal(REFRESH_TOKEN, token.encode())) if token else session
