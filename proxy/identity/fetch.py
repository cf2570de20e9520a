"""One document, or one answer to a form, over HTTPS that is verified, by aiohttp.

It knows one HTTP request. Everything that answers is distrusted: no redirect is followed, no proxy of the environment
is used, and the size and the whole time are bounded.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from proxy.identity.oidc import DOCUMENT_BYTES, Document, Fetch, FetchFailed

TIMEOUT = 10.0  # seconds for one document, from the connection to its last byte


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered."""

    status: int
    body: bytes


def https_ask(context: ssl.SSLContext) -> Callable[[str, str, dict[str, str], bytes | None], Awaitable[Reply]]:
    """Return what makes one request to an endpoint, and trusts what `context` trusts.

    It raises FetchFailed where nothing usable comes back; an error of the endpoint's is an answer.
    """

    async def ask(method: str, url: str, fields: dict[str, str], body: bytes | None) -> Reply:
        try:
            return await _ask(method, url, fields, body, context)
        except TimeoutError:
            raise FetchFailed(f"no answer within {TIMEOUT:g} s") from None
        except aiohttp.ClientConnectorCertificateError as failed:
            raise FetchFailed(f"certificate must be trusted: {_certificate_reason(failed)}") from None
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            raise FetchFailed(f"no usable answer ({type(failed).__name__})") from None

    return ask


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        auto_decompress=False,  # a small answer must not become a large one
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _ask(method: str, url: str, fields: dict[str, str], body: bytes | None, context: ssl.SSLContext) -> Reply:
    headers = {**fields, "Accept-Encoding": "identity", "User-Agent": "ztproxy"}
    async with (
        _session() as session,
        session.request(method, url, data=body, headers=headers, ssl=context, allow_redirects=False) as response,
    ):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchFailed("answer must not be encoded")
        return Reply(response.status, await _read(response.content))


async def _get(url: str, context: ssl.SSLContext) -> Document:
    async with (
        _session() as session,
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
