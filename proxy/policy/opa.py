"""The OPA engine: a real OPA server decides, over HTTP, within one deadline.

The server owns policy and data. It is always shown the whole input, for its policy may become another one between two
questions. What of its answers may be remembered is for `bundles` to prove; that is doubted again with any answer of
another revision, and when the server has not been heard for a while.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from proxy.config import schema
from proxy.config.address import parse_url
from proxy.config.load import read_secret
from proxy.config.mistake import Mistake
from proxy.errors import POLICY_TOO_SLOW, POLICY_UNREACHABLE, Refused
from proxy.policy.bundles import Bundles, find_reads, read_bundles, revisions_of
from proxy.policy.decision import UNDEFINED
from proxy.policy.input import Inquiry, build_input
from proxy.policy.opa_api import MOST_BYTES, MOST_POLICY_BYTES, Client, Server, read_answer, read_module
from proxy.policy.reads import Reads, unknown_reads
from proxy.policy.shown import Plan, Plans
from proxy.policy.sources import Module

_HERE: Final = ("policy", "opa")
_ATTEMPTS: Final = 2  # the second when a connection had been closed while it was idle
# Seconds between two looks at a server's revisions, for one of them, and after which one that is silent is doubted.
_EVERY: Final = (0.8, 1.2)
_PATIENCE: Final = 1.0
_DOUBTED_AFTER: Final = 3.0


class _Standing:
    """What is known of a server's policy, until it becomes another one.

    Args:
        reads: what its rules read.
        bundles: from which all that was found, or None where nothing was.
    """

    __slots__ = ("bundles", "plans", "revisions")

    def __init__(self, reads: Callable[[str], Reads], bundles: Bundles | None = None) -> None:
        self.plans = Plans(reads)
        self.bundles = bundles
        self.revisions = None if bundles is None else {name: bundle.revision for name, bundle in bundles.items()}


def _unknown(why: str) -> _Standing:
    return _Standing(lambda point: unknown_reads(point, f"is decided by an OPA server {why}"))


class OPAEngine:
    """An OPA server as an engine."""

    __slots__ = ("_client", "_heard", "_known", "_standing", "revision", "server")
    instant = False

    def __init__(self, server: Server, context: ssl.SSLContext | None) -> None:
        self._client = Client(server, context)
        self.server = server
        self.revision = f"opa:{server.url}"
        self._standing = _unknown("that has not been asked about its policy yet")
        self._heard = 0.0  # when its revisions were confirmed last
        self._known: tuple[Bundles, Callable[[str], Reads]] | None = None

    @property
    def generation(self) -> object:
        """What is this very object as long as nobody doubts that policy and data are the same."""
        if time.monotonic() > self._heard + _DOUBTED_AFTER and self._standing.bundles is not None:
            self._standing = _unknown("that has not been heard lately")
        return self._standing

    def plan(self, path: str) -> Plan:
        """Return what is made of requests for a rule: what it reads, and whether its decisions may be remembered."""
        return self._standing.plans.of(path)

    def document(self, inquiry: Inquiry, path: str) -> dict[str, Any]:
        """Return the whole input. Raise Refused(INPUT_REFUSED)."""
        return build_input(inquiry)

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        """Raise, for a server must be waited for."""
        raise NotImplementedError

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        """Return the value of a rule, or `UNDEFINED`. Raise what `Engine.evaluate` says."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.server.deadline):
                status, body = await self._asked(path, document)
        except TimeoutError:
            raise Refused(POLICY_TOO_SLOW, "opa did not answer within the deadline") from None
        except aiohttp.ClientPayloadError:
            raise Refused(POLICY_UNREACHABLE, "opa closed the connection within its answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Refused(POLICY_UNREACHABLE, f"opa cannot be reached: {type(error).__name__}") from None
        answer = read_answer(status, body)
        self._compare(answer.get("provenance"), began)
        return answer.get("result", UNDEFINED)

    def _compare(self, provenance: object, began: float) -> None:
        """Doubt what is known where an answer was made by another policy or of other data."""
        if self._standing.bundles is None:
            return
        if revisions_of(provenance) == self._standing.revisions:
            self._heard = max(self._heard, began)
        else:
            self._standing = _unknown("whose policy has changed a moment ago")

    async def look(self) -> None:
        """Find out what the server's policy is made of, and what of it can be proven."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._learn()
        except (TimeoutError, aiohttp.ClientError, OSError):
            self._standing = _unknown("that cannot be reached")
        except (ValueError, Refused) as error:
            self._standing = _unknown(f"that does not show its policy ({error})")

    async def run(self) -> None:
        """Look again and again, until cancelled; no two workers in step."""
        while True:
            await self.look()
            await asyncio.sleep(random.uniform(*_EVERY))  # noqa: S311 - nobody gains by guessing it

    async def _learn(self) -> None:
        began = time.monotonic()
        bundles = await self._bundles()
        if bundles != self._standing.bundles:
            if self._known is None or self._known[0] != bundles:
                modules = await self._modules() if any(bundle.revision for bundle in bundles.values()) else []
                if await self._bundles() != bundles:
                    raise ValueError("it is changing")
                self._known = bundles, find_reads(modules, bundles)
            self._standing = _Standing(self._known[1], bundles)
        self._heard = began

    async def _bundles(self) -> Bundles:
        stored = await self._client.fetch("data/system/bundles", MOST_BYTES)
        return {} if stored is None else read_bundles(stored)

    async def _modules(self) -> list[Module]:
        modules = await self._client.fetch("policies", MOST_POLICY_BYTES)
        if not isinstance(modules, list):
            raise ValueError("policies must be a list")  # noqa: TRY004 - an answer is wrong, not a call
        return [read_module(module) for module in modules]

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
