"""The demo's identity provider: discovery, keys, and the code flow with PKCE for one client and three people.

It speaks OpenID Connect as `identity/login` asks for it. It knows no password and keeps no session: whoever comes by
chooses who to be. It is for this machine alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import jwt
from aiohttp import web

from proxy.cli.demo_pages import ASSETS, asset, page
from proxy.cli.demo_services import served
from proxy.cli.demo_world import CLIENT, KEY_ID, PEOPLE, Person, World

_CODE_SECONDS: Final = 60.0
_NO_STORE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code is good for. `until`: monotonic seconds."""

    person: Person
    challenge: str
    nonce: str
    until: float


class Provider:
    """The provider of one demo.

    Args:
        world: its keys, its client and its people.
        clock: monotonic seconds.
    """

    def __init__(self, world: World, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = ""
        self._world = world
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    def application(self) -> web.Application:
        """Return what serves it."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks.json", self._keys)
        app.router.add_get("/authorize", self._ask)
        app.router.add_get("/authorize/{name}", self._grant)
        app.router.add_post("/token", self._token)
        app.router.add_get(ASSETS + "{name}", asset)
        return app

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks.json",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(self._world.signing_key.public_key(), as_dict=True)
        return web.json_response({"keys": [jwk | {"kid": KEY_ID, "alg": "ES256", "use": "sig"}]})

    async def _ask(self, request: web.Request) -> web.Response:
        """Show who there is to be; each person is a link that carries on the request."""
        if (rule := self._broken(request.query)) is not None:
            return page("wrong.html", status=400, rule=rule)
        people = [(person, f"/authorize/{name}?{urlencode(request.query)}") for name, person in PEOPLE.items()]
        return page("people.html", people=people)

    async def _grant(self, request: web.Request) -> web.Response:
        """Send the browser back with a code (RFC 6749 section 4.1.2, RFC 9207)."""
        query, person = request.query, PEOPLE.get(request.match_info["name"])
        rule = "the person must be one of the three" if person is None else self._broken(query)
        if person is None or rule is not None:
            return page("wrong.html", status=400, rule=rule)
        now, code = self._clock(), secrets.token_urlsafe(32)
        self._grants = {known: grant for known, grant in self._grants.items() if grant.until > now}
        self._grants[code] = Grant(person, query["code_challenge"], query["nonce"], now + _CODE_SECONDS)
        answer = urlencode({"code": code, "state": query["state"], "iss": self.url})
        return web.Response(status=303, headers={"Location": f"{self._world.redirect_uri}?{answer}", **_NO_STORE})

    async def _token(self, request: web.Request) -> web.Response:
        """Redeem a code, once (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        proof = base64.b64encode(f"{CLIENT}:{self._world.client_secret}".encode()).decode()
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Basic {proof}".encode()):
            return _error(401, "invalid_client")
        if form.get("grant_type") != "authorization_code":
            return _error(400, "unsupported_grant_type")
        grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or grant.until <= self._clock() or form.get("redirect_uri") != self._world.redirect_uri:
            return _error(400, "invalid_grant")
        if not hmac.compare_digest(challenge_of(form.get("code_verifier", "")), grant.challenge):
            return _error(400, "invalid_grant")
        tokens = {
            "access_token": self._world.token(self.url, grant.person),
            "id_token": self._world.id_token(self.url, grant.person, grant.nonce),
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        return web.json_response(tokens, headers=_NO_STORE)

    def _broken(self, query: Mapping[str, str]) -> str | None:
        """Return the rule that an authorization request breaks, or None."""
        if query.get("client_id") != CLIENT or query.get("redirect_uri") != self._world.redirect_uri:
            return "client and redirect URI must be those of the portal"
        if query.get("response_type") != "code" or "openid" not in query.get("scope", "").split():
            return "the request must be for a code, of OpenID Connect"
        if query.get("code_challenge_method") != "S256" or not query.get("code_challenge", "").isascii():
            return "the request must have a challenge of PKCE, by S256"
        if not all(query.get(name) for name in ("code_challenge", "state", "nonce")):
            return "the request must have a challenge, a state and a nonce"
        return None


@asynccontextmanager
async def provider(world: World) -> AsyncIterator[str]:
    """Serve the provider; yield its URL."""
    made = Provider(world)
    async with served(made.application()) as made.url:
        yield made.url


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _error(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status, headers=_NO_STORE)
