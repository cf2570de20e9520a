"""What the config says of signing people in at an issuer, as its OIDC client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from proxy.config.mistake import Location, Mistake
from proxy.config.section import Section
from proxy.config.values import FilePath, NonEmpty, SecretFile, Text


class Login(Section):
    """Our client at an issuer, by authorization code and PKCE."""

    client_id: Text
    client_secret_file: SecretFile | None = None
    client_key_file: FilePath | None = None
    authentication: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] | None = None
    scopes: Annotated[tuple[Text, ...], NonEmpty] = ("openid", "profile", "email")
    userinfo: Literal["missing", "always", "never"] = "missing"
    title: Text | None = None


_NEEDS = {
    "client_secret_basic": "client_secret_file",
    "client_secret_post": "client_secret_file",
    "private_key_jwt": "client_key_file",
}


def login_mistakes(login: Login, at: Location) -> Iterator[Mistake]:
    """Yield what within the section contradicts."""
    if "openid" not in login.scopes:
        yield Mistake((*at, "scopes"), "must hold openid: without it there is no ID token")
    if login.client_secret_file is not None and login.client_key_file is not None:
        yield Mistake((*at, "client_key_file"), "must not stand beside client_secret_file")
    needed = _NEEDS.get(login.authentication or "")
    if needed is not None and getattr(login, needed) is None:
        yield Mistake((*at, needed), f"is required with authentication: {login.authentication}")
    if login.authentication == "none" and (login.client_secret_file or login.client_key_file):
        yield Mistake((*at, "authentication"), "must not be none beside a secret or a key")
