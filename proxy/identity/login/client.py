"""What we say to a provider's endpoints, and as whom (RFC 6749, 7523, 7636; OpenID Connect Core 5.3, 9).

Authlib makes the requests and the proofs, and somebody else carries them. What comes back is distrusted: it is read
strictly, and no text of it goes anywhere but the names of errors that the specifications know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote_plus

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7523.assertion import private_key_jwt_sign
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from proxy.identity.login.discovery import Metadata
from proxy.identity.login.outcome import GrantRefused, LoginUnavailable
from proxy.identity.oidc import FetchFailed
from proxy.identity.token import InvalidToken, parse_object

Authentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 180  # the provider's clock may be ahead of ours as far as ours may be of its
_TEXT_BYTES: Final = 64 * 1024  # of one token
_FORM: Final = "application/x-www-form-urlencoded"
# RFC 6749 section 5.2. Whatever else an endpoint calls its error is not repeated.
_ERRORS: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


class Reply(Protocol):
    """An endpoint's answer: status and body."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


# Carries a request: method, URL, header fields, body (or None). Raises FetchFailed where nothing usable came back.
Ask = Callable[[str, str, dict[str, str], bytes | None], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Credential:
    """How a client proves who it is.

    Args:
        authentication: the method, or None: as the provider asks, of those that there is a secret or a key for.
        secret: the client secret, or empty.
        key: a private key (of joserfc), or None; algorithm: what it signs with.
    """

    authentication: Authentication | None = None
    secret: str = field(default="", repr=False)
    key: Any = field(default=None, repr=False)
    algorithm: str = ""

    def method(self, metadata: Metadata) -> Authentication:
        """Return how to authenticate to a provider."""
        if self.authentication is not None:
            return self.authentication
        if self.key is not None:
            return "private_key_jwt"
        if not self.secret:
            return "none"
        offered = metadata.authentication or ("client_secret_basic",)  # the default of Discovery section 3
        post = "client_secret_basic" not in offered and "client_secret_post" in offered
        return "client_secret_post" if post else "client_secret_basic"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint gave. `expires_in`: seconds, or None: not told."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: float | None


class Client:
    """One client of one provider.

    Args:
        client_id: as it is registered.
        credential: its proof.
        scopes: what is asked for.
        ask: carries requests.
    """

    def __init__(self, client_id: str, credential: Credential, scopes: Sequence[str], ask: Ask) -> None:
        self.client_id = client_id
        self._credential = credential
        self._scope = " ".join(scopes)
        self._ask = ask

    def authorization_url(self, metadata: Metadata, verifier: str, **parameters: str | None) -> str:
        """Return where to send a browser; a parameter that is None is left out.

        Raises:
            LoginUnavailable: the provider says that it has no PKCE with S256, without which a code that is stolen or
                planted could be redeemed (RFC 9700 section 2.1.1).
        """
        if metadata.challenge_methods is not None and "S256" not in metadata.challenge_methods:
            raise LoginUnavailable("provider must support PKCE with S256")
        return str(
            prepare_grant_uri(
                metadata.authorization_endpoint,
                self.client_id,
                "code",
                scope=self._scope,
                response_mode="query",
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
                **parameters,
            )
        )

    async def redeem(self, metadata: Metadata, code: str, redirect_uri: str, verifier: str) -> Tokens:
        """Return what a code is good for.

        Raises:
            GrantRefused: the provider does not accept it.
            LoginUnavailable: it could not be asked, or does not work with us.
        """
        return await self._grant(
            metadata, "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=verifier
        )

    async def refresh(self, metadata: Metadata, refresh_token: str) -> Tokens:
        """Return what a refresh token is good for. Raise as `redeem` does."""
        return await self._grant(metadata, "refresh_token", refresh_token=refresh_token)

    async def userinfo(self, endpoint: str, access_token: str) -> dict[str, Any]:
        """Return the claims of a userinfo endpoint.

        Raises:
            GrantRefused: the provider does not accept its access token any more.
            LoginUnavailable: it could not be asked, or does not work with us.
        """
        fields = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
        reply = await self._carry("GET", endpoint, fields, None, "userinfo")
        if reply.status == 401:  # RFC 6750 section 3.1; 403 is for a scope that is missing
            raise GrantRefused
        if reply.status != 200:
            raise LoginUnavailable(f"userinfo: status must be 200, not {reply.status}")
        return _object(reply.body, "userinfo")

    async def _grant(self, metadata: Metadata, kind: str, **parameters: str) -> Tokens:
        endpoint, method = metadata.token_endpoint, self._credential.method(metadata)
        if method == "private_key_jwt":
            parameters |= {"client_id": self.client_id, **self._assertion(endpoint)}
        body = prepare_token_request(kind, **parameters)
        fields = {"Accept": "application/json", "Content-Type": _FORM}
        if method != "private_key_jwt":
            _, fields, body = self._client_auth(method).prepare("POST", endpoint, fields, body)
        return _tokens(await self._carry("POST", endpoint, fields, body.encode("ascii"), "token endpoint"))

    def _client_auth(self, method: Authentication) -> Any:
        if method != "client_secret_basic":
            return ClientAuth(self.client_id, self._credential.secret, method)
        # RFC 6749 section 2.3.1 has both form-encoded before they are joined, which Authlib leaves to its caller.
        return ClientAuth(quote_plus(self.client_id), quote_plus(self._credential.secret), method)

    def _assertion(self, endpoint: str) -> dict[str, str]:
        key = self._credential.key
        signed = private_key_jwt_sign(
            key,
            self.client_id,
            endpoint,
            alg=self._credential.algorithm,
            header={"kid": key.thumbprint()},
            expires_in=_ASSERTION_SECONDS,
        )
        return {"client_assertion_type": _ASSERTION, "client_assertion": str(signed)}

    async def _carry(self, method: str, url: str, fields: dict[str, str], body: bytes | None, called: str) -> Reply:
        try:
            return await self._ask(method, url, fields, body)
        except FetchFailed as failed:
            raise LoginUnavailable(f"{called}: {failed}") from None


def _tokens(reply: Reply) -> Tokens:
    if reply.status in (400, 401):
        error = _object(reply.body, "token endpoint").get("error")
        if error == "invalid_grant":
            raise GrantRefused
        raise LoginUnavailable(f"token endpoint: {error if error in _ERRORS else 'an error that is none of OAuth'}")
    if reply.status != 200:
        raise LoginUnavailable(f"token endpoint: status must be 200, not {reply.status}")
    answer = _object(reply.body, "token endpoint")
    kind, access_token = answer.get("token_type"), _text(answer, "access_token")
    if type(kind) is not str or kind.lower() != "bearer" or not access_token:
        raise LoginUnavailable("token endpoint: answer must hold a bearer token")
    expires_in: Any = answer.get("expires_in")
    lasts = float(expires_in) if type(expires_in) in (int, float) and expires_in > 0 else None
    return Tokens(access_token, _text(answer, "id_token"), _text(answer, "refresh_token"), lasts)


def _text(answer: dict[str, Any], member: str) -> str:
    value = answer.get(member, "")
    if type(value) is not str or len(value) > _TEXT_BYTES or not value.isascii() or not value.isprintable():
        raise LoginUnavailable(f"token endpoint: {member} must be printable ASCII")
    return value


def _object(body: bytes, called: str) -> dict[str, Any]:
    try:
        return parse_object(body)
    except InvalidToken as broken:
        raise LoginUnavailable(f"{called}: {broken}") from None
