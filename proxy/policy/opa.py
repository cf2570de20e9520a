"""The OPA engine: a real OPA server decides, over HTTP, within one deadline.

It knows opa-python-client and OPA's data API. The server owns policy and data, so nothing is analysed here; what comes
back is told apart by whose fault it is. `docs/decisions/0003` says what was added to the client and why.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from opa_client.opa_async import AsyncOpaClient

from proxy.config import schema
from proxy.config.address import parse_url
from proxy.config.load import read_secret
from proxy.config.mistake import Mistake
from proxy.errors import POLICY_FAILED, POLICY_MALFORMED, POLICY_TOO_SLOW, POLICY_UNREACHABLE, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.input import Inquiry
from proxy.policy.reads import unknown_reads
from proxy.policy.shown import Plan, Plans

_HERE: Final = ("policy", "opa")
# A built-in that fails is an error, so that `allow if not f(x)` does not permit when f does.
_QUERY: Final = "?strict-builtin-errors=true"
_MOST_BYTES: Final = 1024**2
_MOST_CONNECTIONS: Final = 100
_ATTEMPTS: Final = 2  # the second when a connection had been closed while it was idle


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


class _Client(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """The library's client, with a session of our own: a CA file, no timeout beside the deadline's, no proxy."""

    def __init__(self, context: ssl.SSLContext | None, **options: Any) -> None:
        super().__init__(**options, ssl=context is not None, retries=0)
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
            return response.status, await _bounded(response)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MOST_BYTES:
            raise Refused(POLICY_MALFORMED, f"an answer of opa must not be larger than {_MOST_BYTES} bytes")
    return bytes(body)


class OPAEngine:
    """An OPA server as an engine."""

    __slots__ = ("_client", "_plans", "generation", "revision", "server")
    instant = False

    def __init__(self, server: Server, context: ssl.SSLContext | None) -> None:
        url = parse_url(server.url)
        host = f"[{url.host}]" if ":" in url.host else url.host
        self._client = _Client(context, host=host, port=url.port, token=server.token)
        self.server = server
        self.revision = f"opa:{server.url}"
        self.generation: object = object()
        self._plans = Plans(lambda path: unknown_reads(path, "is decided by a server"))

    def plan(self, path: str) -> Plan:
        """Return the plan of a rule of which nothing is known: the server owns the policy."""
        return self._plans.of(path)

    def document(self, inquiry: Inquiry, path: str) -> dict[str, Any]:
        """Return the input for a rule. Raise Refused(INPUT_REFUSED)."""
        return self.plan(path).build(inquiry)

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        """Raise, for a server must be waited for."""
        raise NotImplementedError

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        """Return the value of a rule, or `UNDEFINED`. Raise what `Engine.evaluate` says."""
        try:
            async with asyncio.timeout(self.server.deadline):
                status, body = await self._asked(path, document)
        except TimeoutError:
            raise Refused(POLICY_TOO_SLOW, "opa did not answer within the deadline") from None
        except aiohttp.ClientPayloadError:
            raise Refused(POLICY_UNREACHABLE, "opa closed the connection within its answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Refused(POLICY_UNREACHABLE, f"opa cannot be reached: {type(error).__name__}") from None
        return _value(status, body)

    async def _asked(self, path: str, document: dict[str, Any]) -> tuple[int, bytes]:
        """Ask, and once more where the connection was gone before an answer began: a question changes nothing."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._client.ask(path, document)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                continue
        return await self._client.ask(path, document)

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.close_connection()


def _value(status: int, body: bytes) -> object:
    """Read an answer of OPA's data API: an undefined rule is 200 without a result."""
    if status != 200:
        raise _failure(status, body)
    answer = _parsed(body)
    if not isinstance(answer, dict):
        raise Refused(POLICY_MALFORMED, "opa must answer with a JSON object")
    return answer.get("result", UNDEFINED)


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


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


def build_opa(options: schema.OPA, deadline: float, previous: object) -> tuple[OPAEngine | None, list[Mistake]]:
    """Make the engine that asks an OPA server, which need not run yet.

    Args:
        options: where it is.
        deadline: seconds that a decision may take.
        previous: the engine that serves now; returned itself where nothing of this has changed.
    """
    mistakes: list[Mistake] = []
    token = _read_token(options, mistakes)
    tls = tuple(_read_file(options, name, mistakes) for name in ("ca", "certificate", "key"))
    context = _context(options, mistakes) if parse_url(options.url).scheme == "https" and not mistakes else None
    if mistakes:
        return None, mistakes
    server = Server(options.url, token, tls, deadline)
    if isinstance(previous, OPAEngine) and previous.server == server:
        return previous, []
    return OPAEngine(server, context), []


def _read_token(options: schema.OPA, mistakes: list[Mistake]) -> str | None:
    if options.token_file is None:
        return None
    try:
        token = read_secret(options.token_file)
    except ValueError as error:
        mistakes.append(Mistake((*_HERE, "token_file"), str(error)))
        return None
    if not token.isascii() or not token.isprintable() or " " in token:
        mistakes.append(Mistake((*_HERE, "token_file"), "the token must be visible ASCII"))
    return token


def _read_file(options: schema.OPA, name: str, mistakes: list[Mistake]) -> bytes | None:
    path = getattr(options, name)
    if path is None:
        return None
    try:
        content: bytes = path.read_bytes()
    except OSError as error:
        mistakes.append(Mistake((*_HERE, name), f"{path}: {error.strerror or 'cannot be read'}"))
        return None
    return content


def _context(options: schema.OPA, mistakes: list[Mistake]) -> ssl.SSLContext | None:
    """Return a context that verifies the server, always, and shows our certificate where there is one."""
    name = "ca"
    try:
        context = ssl.create_default_context(cafile=options.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        name = "certificate"
        if options.certificate is not None:
            context.load_cert_chain(options.certificate, options.key, password=_no_password)
    except (OSError, ValueError):  # SSLError is an OSError
        mistakes.append(Mistake((*_HERE, name), "must be PEM, and a certificate must have its own, unencrypted key"))
        return None
    return context


def _no_password() -> str:
    raise ValueError("a key must not be encrypted")
