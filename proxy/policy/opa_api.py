"""OPA's HTTP API: a question about a rule, what it has stored, and what its answers mean.

It knows opa-python-client and where the server is; when it is asked, and what is made of it, is `opa`'s business.
`docs/decisions/0003` says what was added to the client and why.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from opa_client.opa_async import AsyncOpaClient

from proxy.config.address import parse_url
from proxy.errors import POLICY_FAILED, POLICY_MALFORMED, POLICY_UNREACHABLE, Refused
from proxy.policy.sources import Module

# A built-in that fails is an error, so that `allow if not f(x)` does not permit when f does.
_QUERY: Final = "?strict-builtin-errors=true&provenance=true"
MOST_BYTES: Final = 1024**2
MOST_POLICY_BYTES: Final = 64 * 1024**2  # of all modules with their syntax trees, which OPA sends along
_MOST_CONNECTIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Server:
    """Where an OPA server is and how it is spoken to; two that are equal can share connections.

    Args:
        url: scheme, host and port.
        token: a bearer token for it, or None.
        tls: the `ca`, `certificate` and `key` files' content, so that a changed file is another server.
        deadline: seconds that a decision may take.
    """

    url: str
    token: str | None
    tls: tuple[bytes | None, ...]
    deadline: float


class Client(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """The library's client, with a session of our own: a CA file, no timeout beside the deadline's, no proxy.

    Args:
        server: where it is.
        context: how it is verified, or None without TLS.
    """

    def __init__(self, server: Server, context: ssl.SSLContext | None) -> None:
        url = parse_url(server.url)
        host = f"[{url.host}]" if ":" in url.host else url.host
        super().__init__(host=host, port=url.port, token=server.token, ssl=context is not None, retries=0)
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def _init_session(self) -> None:
        self._connector = aiohttp.TCPConnector(
            ssl=self._context if self._context is not None else True, limit=_MOST_CONNECTIONS, keepalive_timeout=60
        )
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def ask(self, path: str, document: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and body of the answer about one rule. Raise what aiohttp raises."""
        if self._session is None:
            await self._init_session()
        body = json.dumps({"input": document}, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        async with self._request(
            "POST",
            f"{self.root_url}/data/{path}{_QUERY}",
            data=body,
            headers={"content-type": "application/json", "accept-encoding": "identity"},
            allow_redirects=False,
        ) as response:
            return response.status, await _bounded(response, MOST_BYTES)

    async def fetch(self, what: str, most: int) -> object:
        """Return the result of a GET of its API. Raise what aiohttp raises, and ValueError where it has none."""
        if self._session is None:
            await self._init_session()
        async with self._request(
            "GET", f"{self.root_url}/{what}", headers={"accept-encoding": "identity"}, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            answer = _parsed(await _bounded(response, most))
        if not isinstance(answer, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - an answer is wrong, not a call
        return answer.get("result")


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > most:
            raise Refused(POLICY_MALFORMED, f"an answer of opa must not be larger than {most} bytes")
    return bytes(body)


def read_answer(status: int, body: bytes) -> dict[str, Any]:
    """Read an answer of OPA's data API: an undefined rule is 200 without a result."""
    if status != 200:
        raise _failure(status, body)
    answer = _parsed(body)
    if not isinstance(answer, dict):
        raise Refused(POLICY_MALFORMED, "opa must answer with a JSON object")
    return answer


def _failure(status: int, body: bytes) -> Refused:
    """Return the refusal of an answer that is none. OPA's messages may quote the input, so its codes alone are told."""
    answer = _parsed(body)
    code = answer.get("code") if isinstance(answer, dict) else None
    if status not in (400, 500) or not isinstance(code, str) or not isinstance(answer, dict):
        return Refused(POLICY_UNREACHABLE, f"opa answered with status {status}")
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return Refused(POLICY_FAILED, f"opa: {code[:80]}: {str(first.get('code', 'no further code'))[:80]}{_place(first)}")


def _place(error: dict[str, Any]) -> str:
    location = error.get("location")
    if not isinstance(location, dict):
        return ""
    return f" at {str(location.get('file'))[:200]}:{str(location.get('row'))[:10]}:{str(location.get('col'))[:10]}"


def read_module(module: object) -> Module:
    """Read a module as OPA's policy API shows it."""
    name, text = (module.get("id"), module.get("raw")) if isinstance(module, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(text, str):
        raise ValueError("a policy must have an id and a text")  # noqa: TRY004 - an answer is wrong, not a call
    return Module(name, text)


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")
