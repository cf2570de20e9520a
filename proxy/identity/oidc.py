"""How an issuer's keys are found and fetched: OpenID Connect Discovery 1.0, over HTTPS that is verified.

It knows URLs and one HTTP GET: no key, no token, no schedule. Everything that answers is distrusted: no redirect is
followed, no proxy of the environment is used, the size and the whole time are bounded, and a discovery document must
be about the issuer that was asked for. It fetches what the operator configured and what that names, never what a
token says.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from proxy.identity.token import InvalidToken, parse_object

TIMEOUT = 10.0  # seconds for one document, from the connection to its last byte
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


def parse_discovery(body: bytes, issuer: str) -> str:
    """Return the `jwks_uri` of an issuer's discovery document.

    Raises:
        FetchFailed: it is no such document, it is another issuer's (section 4.3: to the letter), or it names a place
            that keys must not come from.
    """
    try:
        document = parse_object(body)
    except InvalidToken as broken:
        raise FetchFailed(f"discovery: {broken}") from None
    if document.get("issuer") != issuer:
        raise FetchFailed("discovery: issuer must be the configured one, to the letter")
    location = document.get("jwks_uri")
    if type(location) is not str:
        raise FetchFailed("discovery: jwks_uri must be there")
    rule = url_rule(location)
    if rule is None and urlsplit(location).scheme == "http" and urlsplit(issuer).scheme != "http":
        rule = "must be https"  # an issuer elsewhere has no say about ports of this machine
    if rule is not None:
        raise FetchFailed(f"discovery: jwks_uri {rule}")
    return location


async def fetch_jwks(fetch: Fetch, issuer: str, jwks_url: str | None) -> Document:
    """Return an issuer's key set as it stands now, from `jwks_url` or by discovery. Raise FetchFailed."""
    if jwks_url is None:
        discovered = await fetch(discovery_url(issuer))
        jwks_url = parse_discovery(discovered.body, issuer)
    return await fetch(jwks_url)


def https_fetch(context: ssl.SSLContext) -> Fetch:
    """Return a fetch over aiohttp that trusts what `context` trusts.

    The fetch raises FetchFailed for every failure. A session lives for one document: minutes lie between two.
    """

    async def fetch(url: str) -> Document:
        try:
            return await _get(url, context)
        except TimeoutError:
            raise FetchFailed(f"no answer within {TIMEOUT:g} s") from None
        except aiohttp.ClientConnectorCertificateError as failed:
            raise FetchFailed(f"certificate must be trusted: {_certificate_reason(failed)}") from None
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            raise FetchFailed(f"no usable answer ({type(failed).__name__})") from None

    return fetch


async def _get(url: str, context: ssl.SSLContext) -> Document:
    async with (
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            auto_decompress=False,  # a small answer must not become a large one
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session,
        session.get(
            url,
            ssl=context,
            allow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ztproxy"},
        ) as response,
    ):
        if response.status != 200:
            raise FetchFailed(f"status must be 200, not {response.status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchFailed("answer must not be encoded")
        return Document(await _read(response.content), _max_age(response.headers.get("Cache-Control", "")))


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > DOCUMENT_BYTES:
            raise FetchFailed(f"answer must have at most {DOCUMENT_BYTES} bytes")
    return bytes(body)


def _certificate_reason(failed: aiohttp.ClientConnectorCertificateError) -> str:
    return getattr(failed.certificate_error, "verify_message", "") or "not verified"


_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})", re.ASCII)


def _max_age(cache_control: str) -> float | None:
    ages = [match for part in cache_control.lower().split(",") if (match := _MAX_AGE.fullmatch(part.strip()))]
    return float(ages[0][1]) if len(ages) == 1 else None
