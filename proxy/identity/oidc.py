"""How an issuer's keys and endpoints are found: OpenID Connect Discovery 1.0.

It knows URLs and documents: no key, no token, no schedule, and of the network only that somebody fetches (`fetch`). A
discovery document must be about the issuer that was asked for. What is fetched is what the operator configured and
what that names, never what a token says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from proxy.identity.token import InvalidToken, parse_object

DOCUMENT_BYTES = 256 * 1024  # the largest public key sets have about 20 KiB


class FetchFailed(Exception):  # noqa: N818 - an outcome that is expected now and then
    """A document that could not be had, or was not what it must be. The text states why, for the log."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was fetched. `max_age`: seconds for which it may be kept (RFC 9111 section 5.2.2.1), or None."""

    body: bytes
    max_age: float | None = None


Fetch = Callable[[str], Awaitable[Document]]


def url_rule(url: str) -> str | None:
    """Return the rule that a URL breaks which keys or discovery shall be fetched from, or None."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises where it is no port
    except ValueError:
        return "must be a URL"
    if not host or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "must be a URL with a host"
    if parts.username is not None or parts.fragment or "#" in url:
        return "must have neither userinfo nor fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return None
    return "must be https (plain http is for loopback addresses alone)"


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by its very name (RFC 6761 section 6.3)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def discovery_url(issuer: str) -> str:
    """Return where an issuer's discovery document is (OpenID Connect Discovery 1.0 section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def parse_document(body: bytes, issuer: str) -> dict[str, Any]:
    """Return an issuer's discovery document.

    Raises:
        FetchFailed: it is none, or it is another issuer's (section 4.3: to the letter).
    """
    try:
        document = parse_object(body)
    except InvalidToken as broken:
        raise FetchFailed(f"discovery: {broken}") from None
    if document.get("issuer") != issuer:
        raise FetchFailed("discovery: issuer must be the configured one, to the letter")
    return document


def place_of(document: dict[str, Any], member: str, issuer: str) -> str:
    """Return a URL that a discovery document names. Raise FetchFailed where it must not be one to turn to."""
    location = document.get(member)
    if type(location) is not str:
        raise FetchFailed(f"discovery: {member} must be there")
    rule = url_rule(location)
    if rule is None and urlsplit(location).scheme == "http" and urlsplit(issuer).scheme != "http":
        rule = "must be https"  # an issuer elsewhere has no say about ports of this machine
    if rule is not None:
        raise FetchFailed(f"discovery: {member} {rule}")
    return location


def parse_discovery(body: bytes, issuer: str) -> str:
    """Return the `jwks_uri` of an issuer's discovery document.

    Raises:
        FetchFailed: it is no such document, it is another issuer's, or it names a place that keys must not come from.
    """
    return place_of(parse_document(body, issuer), "jwks_uri", issuer)


async def fetch_jwks(fetch: Fetch, issuer: str, jwks_url: str | None) -> Document:
    """Return an issuer's key set as it stands now, from `jwks_url` or by discovery. Raise FetchFailed."""
    if jwks_url is None:
        discovered = await fetch(discovery_url(issuer))
        jwks_url = parse_discovery(discovered.body, issuer)
    return await fetch(jwks_url)
