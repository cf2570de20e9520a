"""Whom an assertion on a gateway's connection makes the caller, and the memory of those that were verified.

`identity/gateways` says what an assertion must be; the keys prove it here.
"""

from __future__ import annotations

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate
from proxy.http.message import RequestHead, Target
from proxy.identity.gateways import Gateways, assertion_of, audience_of, read_assertion, user_of
from proxy.identity.principal import Peer, Principal
from proxy.identity.token import InvalidToken
from proxy.identity.verified import Memory, Verified


class Vouching:
    """What gateways before this one say of their users.

    Args:
        gateways: those that are believed.
        limits: `token_bytes` and `token_cache`, which hold for assertions too.
    """

    __slots__ = ("_gateways", "_longest", "_memory")

    def __init__(self, gateways: Gateways, limits: Limits) -> None:
        self._gateways = gateways
        self._longest = limits.token_bytes
        self._memory = Memory(limits.token_cache)

    def shown(self, head: RequestHead, route: Authenticate, peer: Peer | None) -> bytes | None:
        """Return the assertion of a request, or None: there is none, or its connection is no gateway's."""
        return assertion_of(head) if route.header != "none" and self._gateways.at(peer) else None

    def recall(
        self, text: bytes, route: Authenticate, peer: Peer | None, now: float, target: Target
    ) -> Principal | None:
        """Return whom an assertion makes the caller, if it was verified before; None: `read` must.

        Args: as of `read`.
        """
        verified = self._memory.recall(_known_as(text, target), now)
        if verified is None:
            return None
        name = verified.principal.issuer
        theirs = any(each.rules.name == name for each in self._gateways.at(peer))
        return verified.principal if theirs and _is_of(name, route) else None

    async def read(self, text: bytes, route: Authenticate, peer: Peer | None, now: float, target: Target) -> Principal:
        """Return whom an assertion makes the caller.

        Args:
            text: as of `shown`.
            route: what the request's route says of credentials.
            peer: the other end of the connection.
            now: POSIX seconds.
            target: where the request goes.

        Raises:
            InvalidToken: it is not good here and now.
            Refused: TOKEN_KEYS_UNAVAILABLE.
        """
        if len(text) > self._longest:
            raise InvalidToken(f"token must have at most {self._longest} bytes")
        token, gateway = read_assertion(text, self._gateways.at(peer), audience_of(target), now)
        if not _is_of(gateway.rules.name, route):
            raise InvalidToken("issuer must be one of the route's")
        user = user_of(token.claims, gateway, now)
        key = await gateway.source.find(token)
        key.verify(token)
        verified = Verified(user, user.expires_at - gateway.rules.skew, len(text), gateway.source, key)
        if now < verified.expires:
            self._memory.remember(_known_as(text, target), verified)
        return user


def _is_of(name: str, route: Authenticate) -> bool:
    return route.issuers is None or name in route.issuers


def _known_as(text: bytes, target: Target) -> bytes:
    """Return what an assertion is remembered under: what it proves, it proves to one application."""
    return b"%b\0%b" % (target.host.encode(), text)
