"""An issuer's keys, kept fresh in the background.

`KeySource.run` alone fetches; a request only looks, or asks and waits. So there is one fetch at a time whatever comes
in, and the last good keys stay through every failure until they are too old to be believed. It knows no claim and no
request; what fetches, and the clock, are handed in.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.errors import TOKEN_KEYS_UNAVAILABLE, Refused
from proxy.identity.jwks import InvalidKey, Key, KeySet, parse_jwks
from proxy.identity.oidc import DOCUMENT_BYTES, Document, FetchFailed, fetch_jwks
from proxy.identity.token import InvalidToken, Token

Load = Callable[[], Awaitable[Document]]
Observe = Callable[[str, dict[str, Any]], None]

ATTEMPT = 20.0  # seconds for one attempt, discovery and key set together
PATIENCE = 5.0  # seconds that a request waits for keys before it is answered without
ASK_INTERVAL = 30.0  # seconds between two fetches that unknown key ids cause: a flood of them must cause few
RETRY_FIRST, RETRY_LAST = 1.0, 30.0  # seconds between failed attempts, doubled from the one to the other
MAX_AGE_FLOOR = 30.0  # seconds: an issuer may ask to be asked more often, and not to be hammered
SPREAD = 0.2  # share of a pause that is left to chance
FILE_INTERVAL = 5.0  # seconds between two looks at a key file


class UnknownKey(InvalidToken):
    """A token names a key that is none of its issuer's, or none yet."""


def spread(pause: float) -> float:
    """Return a pause that is shorter by chance: several workers must not ask an issuer all at once, again and again."""
    return pause * random.uniform(1 - SPREAD, 1)  # noqa: S311 - it hides nothing


def trusting(ca: str | None) -> ssl.SSLContext:
    """Return a client context that trusts PEM authorities, or the system's. Raise ValueError or SSLError for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
    if ca is None:
        context.load_default_certs()
    else:  # not `create_default_context(cadata=…)`: it takes an empty file for none, and trusts the system instead
        context.load_verify_locations(cadata=ca)
    return context


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an issuer's keys come from; a reload that finds the same goes on with the keys it has.

    Args:
        issuer: the issuer's URL.
        jwks_url: where its key set is, or None: found by discovery.
        jwks_file: a local key set instead, or None.
        ca: PEM of the authorities to trust, or None: the system's.
        refresh: seconds between two fetches while all is well.
        stale_limit: seconds for which the last good keys serve.
    """

    issuer: str
    jwks_url: str | None
    jwks_file: Path | None
    ca: str | None
    refresh: float
    stale_limit: float

    def loader(self) -> Load:
        """Return what gets the key set as it stands now. Raise ValueError or SSLError where `ca` is no certificate."""
        if (path := self.jwks_file) is not None:
            return lambda: asyncio.to_thread(read_jwks_file, path)
        from proxy.identity.fetch import https_fetch  # aiohttp: a tenth of a second of a start

        fetch = https_fetch(trusting(self.ca))
        return lambda: fetch_jwks(fetch, self.issuer, self.jwks_url)


def read_jwks_file(path: Path) -> Document:
    """Return a key file's content. Raise FetchFailed."""
    try:
        with path.open("rb") as file:
            body = file.read(DOCUMENT_BYTES + 1)
    except OSError as failed:
        raise FetchFailed(f"file must be readable: {failed.strerror}") from None
    if len(body) > DOCUMENT_BYTES:
        raise FetchFailed(f"file must have at most {DOCUMENT_BYTES} bytes")
    return Document(body, FILE_INTERVAL)


class KeySource:
    """The keys of one issuer.

    Args:
        name: the issuer's name in the config, for events.
        origin: where they come from, and how long they serve.
        load: gets the key set as it stands now, or raises FetchFailed.
        observe: told of `keys_fetched` (when they are new, or back) and of every `keys_failed`.
        clock: monotonic seconds.
    """

    def __init__(
        self, name: str, origin: Origin, load: Load, observe: Observe, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.origin = origin
        self.keys: KeySet | None = None
        self._load = load
        self._observe = observe
        self._clock = clock
        self._good_until = clock()
        self._failures = 0
        self._told: dict[str, Any] = {}
        self._may_ask_at = clock()
        self._wanted = asyncio.Event()  # set until an attempt that began after the setting has ended
        self._wanted.set()
        self._concluded = asyncio.Event()  # of the attempt under way, or the next; each has its own

    @property
    def usable(self) -> bool:
        """Whether there are keys, and young enough to be believed."""
        return self.keys is not None and self._clock() < self._good_until

    async def run(self) -> None:
        """Keep the keys fresh, for ever. The server starts this once and cancels it."""
        while True:
            pause = await self.attempt()
            try:
                async with asyncio.timeout(spread(pause)):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def attempt(self) -> float:
        """Fetch once, keep what is good, and return the seconds to the next time. A failure is observed, not raised."""
        answers_wish = self._wanted.is_set()
        try:
            async with asyncio.timeout(ATTEMPT):
                document = await self._load()
            pause = self.adopt(document)
        except (FetchFailed, InvalidKey) as failed:
            pause = self._keep(str(failed))
        except TimeoutError:
            pause = self._keep(f"no answer within {ATTEMPT:g} s")
        except Exception as failed:  # a surprise must not end the loop: withdrawn keys would serve on unseen
            pause = self._keep(f"unexpected {type(failed).__name__}")
        if answers_wish:
            self._wanted.clear()
        concluded, self._concluded = self._concluded, asyncio.Event()
        concluded.set()
        return pause

    def adopt(self, document: Document) -> float:
        """Serve a key set from now on; return the seconds after which it wants to be fetched again.

        Raises:
            InvalidKey: it is none, or none of its keys can be used; the last good one stays.
        """
        keys = parse_jwks(document.body)
        news = {"issuer": self.name, "kids": keys.kids, "dropped": list(keys.dropped)}
        if self._failures or keys != self.keys or news != self._told:
            self._observe("keys_fetched", news)
        if keys != self.keys:  # what rests on keys that are the same need not be proven again
            self.keys = keys
        self._told = news
        self._failures = 0
        self._good_until = self._clock() + self.origin.stale_limit
        if document.max_age is None:
            return self.origin.refresh
        floor = FILE_INTERVAL if self.origin.jwks_file is not None else MAX_AGE_FLOOR
        return min(self.origin.refresh, max(document.max_age, floor))

    async def find(self, token: Token) -> Key:
        """Return the key that a token names, fetched anew where it is unknown.

        Raises:
            UnknownKey: the issuer has no such key, as far as it was asked lately.
            Refused: TOKEN_KEYS_UNAVAILABLE, its keys were never fetched or are too old.
        """
        if self.keys is None:
            await self._wait()  # for the first attempt and no other: an issuer may be away for hours
        if not self.usable or self.keys is None:
            raise Refused(TOKEN_KEYS_UNAVAILABLE, f"keys of issuer {self.name} must have been fetched, and lately")
        key = self.keys.find(token)
        if key is None:
            self._ask()
            await self._wait()
            key = self.keys.find(token)
        if key is None:
            raise UnknownKey("key must be one of the issuer's")
        return key

    def _ask(self) -> None:
        now = self._clock()
        if not self._wanted.is_set() and now >= self._may_ask_at:
            self._may_ask_at = now + ASK_INTERVAL
            self._wanted.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while self._wanted.is_set():
                    await self._concluded.wait()
        except TimeoutError:
            pass

    def _keep(self, reason: str) -> float:
        self._failures += 1
        self._observe("keys_failed", {"issuer": self.name, "reason": reason, "serving_last_good": self.usable})
        return min(RETRY_FIRST * float(1 << min(self._failures - 1, 10)), RETRY_LAST, self.origin.refresh)
