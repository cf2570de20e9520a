"""Which user a request's bearer token (RFC 6750), assertion or session makes its caller.

A token goes before an assertion, and both before a session, which is not looked at then. It reads the fields of a
parsed head, and knows no socket, policy or response. Every way to be refused raises a row of the catalogue; the detail
names the rule and holds nothing of the token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate
from proxy.errors import AUTHORIZATION_DUPLICATE, TOKEN_INVALID, Refused, Row
from proxy.http.cookies import handle_of
from proxy.http.message import RequestHead, Target
from proxy.identity.claims import read_principal
from proxy.identity.issuers import Issuers
from proxy.identity.principal import ANONYMOUS, Peer, Principal, principal_of
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.service import ISSUER as SERVICES
from proxy.identity.sessions.service import is_service_token
from proxy.identity.sessions.services import ServiceTokens
from proxy.identity.sessions.session import Session, host_of_program, is_program_token, principal_of_session
from proxy.identity.token import InvalidToken, parse_token
from proxy.identity.verified import Memory, Verified
from proxy.identity.vouching import Vouching

# RFC 9110 sections 5.6.2 and 11.2.
_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
_BEARER = b"bearer "
_TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def challenge(row: Row) -> tuple[tuple[bytes, bytes], ...]:
    """Return the `www-authenticate` fields of a refusal (RFC 9110 section 11.6.1, RFC 6750 section 3).

    Without a credential there is no `error`; the description is the catalogue's sentence, never the detail.
    """
    if row.status != 401:
        return ()
    if row is not TOKEN_INVALID:
        return ((b"www-authenticate", b"Bearer"),)
    description = row.public.rstrip(".").encode("ascii")
    return ((b"www-authenticate", b'Bearer error="invalid_token", error_description="' + description + b'"'),)


_INVALID = challenge(TOKEN_INVALID)


class Authenticator:
    """Who the caller of a request is.

    Args:
        issuers: those whose tokens are believed.
        limits: `token_bytes` and `token_cache`.
        sessions, services: of people who sign in here, and of service tokens; None where there are none.
        notice: told of each session that is used.
    """

    def __init__(
        self,
        issuers: Issuers,
        limits: Limits,
        sessions: Sessions | None = None,
        services: ServiceTokens | None = None,
        notice: Callable[[Session, float], None] = lambda session, now: None,
    ) -> None:
        self._issuers = issuers
        self._sessions = sessions
        self._services = services
        self._notice = notice
        self._token_bytes = limits.token_bytes
        self._memory = Memory(limits.token_cache)
        self._vouching = Vouching(issuers.gateways, limits) if issuers.gateways else None

    def recall(
        self, head: RequestHead, route: Authenticate, peer: Peer | None, now: float, target: Target, source: str = ""
    ) -> Principal | None:
        """Return the caller if that takes no proof, or one that was given already; None: `authenticate` must.

        Args: as of `authenticate`.

        Raises:
            Refused: AUTHORIZATION_DUPLICATE.
        """
        seen = head.proof.seen
        if seen is not None and seen[0] is self and seen[1] is route:
            verified = cast("Verified | None", seen[2])
            if verified is None:
                return self._recall_session(head, route, peer, now, target, source)
            return verified.principal if verified.holds(now) else None
        value = _field(head, route)
        if value is None:
            head.proof.seen = self, route, None
            return self._recall_session(head, route, peer, now, target, source)
        verified = self._memory.recall(value, now)
        if verified is None:
            return self._recall_program(value, route, peer, now, target, source)
        if route.issuers is not None and verified.principal.issuer not in route.issuers:
            return None
        head.proof.seen = self, route, verified
        return verified.principal

    def _recall_session(
        self, head: RequestHead, route: Authenticate, peer: Peer | None, now: float, target: Target, source: str = ""
    ) -> Principal | None:
        """Return whoever the session makes the caller, or the peer where there is none; None: the store must tell."""
        if self._vouching is not None and (text := self._vouching.shown(head, route, peer)) is not None:
            return self._vouching.recall(text, route, peer, now, target)
        if self._sessions is not None and route.sign_in and (handle := handle_of(head.headers)) is not None:
            device = "" if peer is None else peer.id
            session = self._sessions.recall(handle, _authority(target), now, device=device, source=source)
            if session is None:
                return None
            if (principal := self._enter(session, route, now)) is not None:
                return principal
        return ANONYMOUS if peer is None else principal_of(peer)

    def _recall_program(
        self, value: bytes, route: Authenticate, peer: Peer | None, now: float, target: Target, source: str
    ) -> Principal | None:
        """Return whose session a program's token names, if memory can tell."""
        token = value[len(_BEARER) :]
        if self._sessions is None or not route.sign_in or not is_program_token(token):
            return None
        host, device = host_of_program(_authority(target)), "" if peer is None else peer.id
        session = self._sessions.recall(token, host, now, device=device, source=source)
        return None if session is None or value[: len(_BEARER)].lower() != _BEARER else self._enter(session, route, now)

    async def _read_program(
        self, token: bytes, route: Authenticate, peer: Peer | None, now: float, target: Target, source: str
    ) -> Principal:
        if self._sessions is None or not route.sign_in:
            raise InvalidToken("a token of the command line must be shown on a route that people sign in on")
        host, device = host_of_program(_authority(target)), "" if peer is None else peer.id
        session = await self._sessions.read(token, host, now, device=device, source=source)
        if session is None:
            raise InvalidToken("a token of the command line must be of this host, and its session must not have ended")
        principal = self._enter(session, route, now)
        if principal is None:
            raise InvalidToken("issuer must be one of the route's")
        return principal

    def _enter(self, session: Session, route: Authenticate, now: float) -> Principal | None:
        if not _may_enter(session, route):
            return None
        self._notice(session, now)
        return principal_of_session(session)

    def rides_on_cookie(self, head: RequestHead, route: Authenticate, principal: Principal) -> bool:
        """Tell whether it is a cookie that makes the caller: then a page of another site may have made the request."""
        if principal.method != "session":
            return False
        value = _field(head, route)
        return value is None or value[: len(_BEARER)].lower() != _BEARER

    async def _read_session(
        self, head: RequestHead, route: Authenticate, peer: Peer | None, now: float, target: Target, source: str = ""
    ) -> Principal:
        if self._vouching is not None and (text := self._vouching.shown(head, route, peer)) is not None:
            return await self._vouching.read(text, route, peer, now, target)
        if self._sessions is not None and route.sign_in and (handle := handle_of(head.headers)) is not None:
            device = "" if peer is None else peer.id
            session = await self._sessions.read(handle, _authority(target), now, device=device, source=source)
            if session is not None and (principal := self._enter(session, route, now)) is not None:
                return principal
        return ANONYMOUS if peer is None else principal_of(peer)

    async def authenticate(
        self, head: RequestHead, route: Authenticate, peer: Peer | None, now: float, target: Target, source: str = ""
    ) -> Principal:
        """Return the caller: the user of token, assertion or session, in this order, else the workload, else nobody.

        Args:
            head: the request's head.
            route: what its route says of credentials.
            peer: the workload of the connection; the caller has seen that it has not lapsed.
            now: POSIX seconds.
            target: where the request goes: a session is good on its host alone.
            source: the client's address, for the list of sessions.

        Raises:
            Refused: AUTHORIZATION_DUPLICATE, TOKEN_INVALID, TOKEN_KEYS_UNAVAILABLE, or SESSIONS_UNAVAILABLE.
        """
        value = _field(head, route)
        try:
            token = None if value is None else _bearer(value)
            if value is None or token is None:
                return await self._read_session(head, route, peer, now, target, source)
            if self._services is not None and is_service_token(token):
                return await self._service(token, route, now)
            if is_program_token(token):
                return await self._read_program(token, route, peer, now, target, source)
            verified = await self._verify(token, route, now)
        except InvalidToken as broken:
            raise Refused(TOKEN_INVALID, str(broken), headers=_INVALID) from None
        if now < verified.expires:  # past that it is taken for the skew of clocks alone, and not remembered
            self._memory.remember(value, verified)
        return verified.principal

    async def _service(self, token: bytes, route: Authenticate, now: float) -> Principal:
        assert self._services is not None
        if route.issuers is not None and SERVICES not in route.issuers:
            raise InvalidToken("issuer must be one of the route's")
        principal = self._services.recall(token, now) or await self._services.read(token, now)
        if principal is None:
            raise InvalidToken("service token must be one that was made here and has neither expired nor been revoked")
        return principal

    async def _verify(self, text: bytes, route: Authenticate, now: float) -> Verified:
        """Return what a token proves. What costs little is looked at first: a flood of bad tokens must stay cheap."""
        if len(text) > self._token_bytes:
            raise InvalidToken(f"token must have at most {self._token_bytes} bytes")
        token = parse_token(text)
        rules, source = self._issuers.find(token.claims.get("iss"))  # unproven; it only says whose key must prove it
        if route.issuers is not None and rules.name not in route.issuers:
            raise InvalidToken("issuer must be one of the route's")
        if token.algorithm not in rules.algorithms:
            raise InvalidToken("algorithm must be one of the issuer's")
        principal = read_principal(token.claims, rules, now, token.kind)
        key = await source.find(token)
        key.verify(token)
        return Verified(principal, principal.expires_at - rules.skew, len(text), source, key)


def _may_enter(session: Session, route: Authenticate) -> bool:
    return route.issuers is None or session.issuer in route.issuers


def _authority(target: Target) -> str:
    """Return host and port as the session's cookie was given out for."""
    return target.host if target.port in (None, 443) else f"{target.host}:{target.port}"


def _field(head: RequestHead, route: Authenticate) -> bytes | None:
    """Return the value of the header field in which the route reads tokens, or None.

    Two `Authorization` fields are refused on every route: which one counts would differ between us and the upstream.
    """
    authorization = proxy_authorization = None
    for name, value in head.headers:
        if name == b"authorization":
            if authorization is not None:
                raise Refused(AUTHORIZATION_DUPLICATE, "authorization must be there once at most")
            authorization = value
        elif name == b"proxy-authorization" and route.header == "proxy-authorization":
            if proxy_authorization is not None:
                raise Refused(AUTHORIZATION_DUPLICATE, "proxy-authorization must be there once at most")
            proxy_authorization = value
    return authorization if route.header == "authorization" else proxy_authorization


def _bearer(value: bytes) -> bytes | None:
    """Return the token of a Bearer credential, or None for another scheme (RFC 6750 section 2.1).

    Raises:
        InvalidToken: the field is Bearer and malformed, or no credential at all.
    """
    scheme, space, token = value.partition(b" ")
    if scheme.lower() != b"bearer":
        if value and (not scheme or scheme.translate(None, _TCHAR)):
            raise InvalidToken("credential must begin with its scheme")
        return None
    if not space or not token or token.translate(None, _TOKEN68):
        raise InvalidToken("credential must be Bearer, one space and one token")
    return token
