"""A provider says that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0).

It is a server that asks, without cookies, and what it says is proven by its token alone. Each token works once.
"""

from __future__ import annotations

from proxy.errors import LOGOUT_TOKEN_REFUSED, ROUTE_NOT_FOUND, SIGN_IN_UNAVAILABLE, Refused
from proxy.identity.login.outcome import LoginRefused, LoginUnavailable
from proxy.portal.csrf import read_form
from proxy.portal.request import PortalRequest, Told
from proxy.portal.site import Site

_REMEMBERED_SECONDS = 600  # past its end, so that no clock's skew brings a token back
_LONGEST_TOKEN = 16 * 1024


class BackChannel:
    """The endpoint `/.ztproxy/backchannel-logout/<provider>` of the sign-in host."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def end(self, request: PortalRequest, name: str) -> Told:
        """End the sessions that a logout token names, sign-ins that are under way too; 200 also where there are none.

        Raises:
            Refused: ROUTE_NOT_FOUND, METHOD_REFUSED, LOGOUT_TOKEN_REFUSED, SIGN_IN_UNAVAILABLE.
            StoreUnavailable: they could not be ended; the provider may ask again.
        """
        request.require_method(b"POST")
        provider = self._site.providers.get(name)
        if provider is None:
            raise Refused(ROUTE_NOT_FOUND, "provider must be one of the config")
        text = _logout_token(request)
        try:
            token = await provider.verify_logout_token(text, request.now)
        except LoginRefused as error:
            raise Refused(LOGOUT_TOKEN_REFUSED, str(error)) from None
        except LoginUnavailable as error:
            raise Refused(SIGN_IN_UNAVAILABLE, str(error)) from None
        store = self._site.store
        if not await store.once("logout", f"{name} {token.jti}", token.expires_at + _REMEMBERED_SECONDS):
            raise Refused(LOGOUT_TOKEN_REFUSED, "a logout token must be used once")
        await store.end_matching(
            token.issuer_url, token.subject or None, token.provider_sid or None, "signed out at the provider"
        )
        headers = [(b"cache-control", b"no-store"), (b"x-request-id", request.request_id.encode())]
        return Told(200, b"OK", headers, b"")


def _logout_token(request: PortalRequest) -> str:
    try:
        text = read_form(request).get("logout_token", "")
    except Refused as refused:
        raise Refused(LOGOUT_TOKEN_REFUSED, refused.detail) from None
    if not text or len(text) > _LONGEST_TOKEN or not text.isascii():
        raise Refused(LOGOUT_TOKEN_REFUSED, "a logout token must be there")
    return text
