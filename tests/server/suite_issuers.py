"""A running gateway with issuers of every kind: an honest one, one for each way to fail, and an attacker's.

`Edge` is the world in which the attacks of `tests/identity/attacks` are made: what they call on it goes over sockets.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.errors import CATALOGUE, HEADERS_TOO_LARGE, TOKEN_INVALID, Refused
from tests.gateway import PATIENCE, Answer, wait_for
from tests.identity.attacks import world as attacks
from tests.issuer import FakeIssuer, SigningKey
from tests.server.suite_world import Request, Trial

ROUTES: list[dict[str, Any]] = [
    {"name": "user", "host": "user.example.org", "allow": [{"authenticated": True}]},
    {"name": "open", "host": "open.example.org", "allow": [{"anyone": True}]},
    {"name": "mail", "host": "mail.example.org", "allow": [{"users": ["admin@corp.com"], "issuers": ["corp"]}]},
    {"name": "group", "host": "group.example.org", "allow": [{"groups": ["admin"], "issuers": ["corp"]}]},
    {
        "name": "scope",
        "host": "scope.example.org",
        "allow": [{"claims": {"scope": ["admin"]}, "issuers": ["corp"]}],
    },
    {
        "name": "pass",
        "host": "pass.example.org",
        "allow": [{"anyone": True}],
        "authenticate": {"pass": True},
    },
    {
        "name": "preflight",
        "host": "preflight.example.org",
        "allow": [{"authenticated": True}],
        "cors": {"preflight": "upstream"},
    },
]
# Issuers that fail later, each in its way; the last good keys must serve on.
FAULTS: dict[str, Callable[[FakeIssuer], None]] = {
    "fault-500": lambda issuer: issuer.fail(500),
    "fault-404": lambda issuer: issuer.fail(404),
    "fault-html": lambda issuer: issuer.garbage(b"<html></html>"),
    "fault-no-keys": lambda issuer: issuer.garbage(b'{"keys":[]}'),
    "fault-no-list": lambda issuer: issuer.garbage(b"{}"),
    "fault-discovery": lambda issuer: issuer.fail(503, on="discovery"),
    "fault-redirect": lambda issuer: issuer.redirect(issuer.jwks_url),
}
# Issuers whose discovery document is about another than the configured one.
MISMATCHES: dict[str, Callable[[str], str]] = {
    "mismatch-slash": lambda url: url + "/",
    "mismatch-case": lambda url: url.upper(),
    "mismatch-scheme": lambda url: url.replace("http:", "https:"),
    "mismatch-host": lambda url: url.replace("127.0.0.1", "localhost"),
}
# Issuers of https that name a place which keys must not come from; the first is an attacker's.
PLACES = {
    "place-http": "",
    "place-far": "http://idp.example.org/jwks",
    "place-file": "file:///etc/passwd",
    "place-path": "/jwks",
}
# Issuers of https: whose address their certificate has, for how many days, and whether its authority is known.
CERTIFICATES = {
    "tls-unknown": ("127.0.0.1", 1, False),
    "tls-elsewhere": ("127.0.0.2", 1, True),
    "tls-expired": ("127.0.0.1", -1, True),
    **dict.fromkeys(PLACES, ("127.0.0.1", 1, True)),
}
# Issuers that change while their tokens come.
CHANGING = ("down", "rotating", *FAULTS)
OTHERS = (*CHANGING, "empty", "slow", *MISMATCHES, *CERTIFICATES)


def config(upstream: str, issuers: dict[str, dict[str, Any]]) -> str:
    """Return a config, which is YAML by being JSON."""
    plain = {"address": "127.0.0.1:0", "plaintext": True}
    return json.dumps(
        {
            "version": 1,
            "trust_domain": "example.org",
            "listeners": [
                {"name": "plain", **plain},
                {"name": "trusting", **plain, "trusted_proxies": {"networks": ["127.0.0.0/8"]}},
            ],
            "admin": {"address": "127.0.0.1:0"},
            "identity": {"trust_bundles": {"example.org": "ca.pem"}, "issuers": issuers},
            "upstreams": {"wiki": {"endpoints": [upstream]}},
            "routes": [{"upstream": "wiki", **route} for route in ROUTES],
        }
    )


def told(asked: Request) -> bytes:
    """Answer with the request's own ID, by which its decision is found."""
    return b"HTTP/1.1 200 OK\r\nx-asked: %b\r\ncontent-length: 0\r\n\r\n" % asked.value("x-request-id").encode()


@dataclass
class Edge(attacks.World):
    """The world of the attacks, with a running gateway in it.

    Args:
        issuer: of the tokens, called `corp`.
        attacker: whom nobody must ask anything.
        others: further issuers, by the name that they have in the config.
        extra: what the config says of an issuer beyond where it is.
    """

    issuer: FakeIssuer
    attacker: FakeIssuer
    others: dict[str, FakeIssuer]
    extra: dict[str, dict[str, Any]]
    directory: Path
    trial: Trial = field(init=False)
    slow: asyncio.Task[Answer] = field(init=False)
    _reloads: int = 0
    _changed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restore()
        self.attacker.keys = [attacks.ATTACKER]
        self.trial = Trial(self.directory, self._config, answer=told)

    def _config(self, upstream: str, **changed: Any) -> str:
        bearer = {"audiences": ["ztproxy"]}
        issuers = {
            name: {"issuer": issuer.url, "bearer": bearer, **self.extra.get(name, {})}
            for name, issuer in self.others.items()
        }
        bearer = {**bearer, "algorithms": [*attacks.ALGORITHMS]}
        # A limit of its own makes each reload fetch the keys anew.
        stale = f"{1000 + self._reloads}s"
        corp = {"issuer": self.issuer.url, "bearer": bearer, "keys_stale_limit": stale, **changed}
        return config(upstream, {"corp": corp, **issuers})

    # What attacks do to it.

    def configure(self, **changed: Any) -> None:
        """Have the gateway reload a config in which some keys of the issuer are changed."""
        self._changed = changed
        self._reloads += 1
        self.trial.gateway.reload(self._config(self.trial.recorder.url, **changed))
        self.trial.gateway.event("reloaded", self._reloads)

    async def refresh(self) -> None:
        """Have the gateway fetch the keys that are published now."""
        before = len(self._told("corp"))
        self.configure(**self._changed)
        await asyncio.to_thread(wait_for, lambda: len(self._told("corp")) > before, "fetch of the keys")

    async def failure(self, issuer: str) -> str:
        """Wait for a failure of an issuer's, and return why its keys could not be had."""

        def failed() -> list[str]:
            return [told["reason"] for told in self._told(issuer) if told["event"] == "keys_failed"]

        reasons: list[str] = await asyncio.to_thread(wait_for, failed, f"failure of {issuer}")
        (reason,) = set(reasons)
        return reason

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:  # type: ignore[override]
        """What was told of the issuer's keys, up to now."""
        self._settle()
        return [(record["event"], record) for record in self._told("corp")]

    def _told(self, issuer: str) -> list[dict[str, Any]]:
        return [record for record in self.trial.gateway.of_type("event") if record.get("issuer") == issuer]

    def _settle(self) -> None:
        """Wait for a record that is written after all that there are."""
        raw = b"GET / HTTP/1.1\r\nHost: none.example.org\r\n\r\n"
        request_id = self.trial.fire(object(), raw).answer().get("x-request-id")
        assert request_id is not None
        self.trial.gateway.access(request_id)

    def restore(self) -> bool:
        """Give the issuer its keys and its config back; return whether the gateway must be told."""
        before = self.issuer.jwks(), self._changed
        self.issuer.keys = [SigningKey(key.kid, key.algorithm, key.private) for key in attacks.KEYS.values()]
        self._changed = {}
        return (self.issuer.jwks(), self._changed) != before

    # What a client gets.

    def _written(self, *fields: bytes, host: str = "user.example.org", line: bytes = b"GET /") -> bytes:
        return b"\r\n".join([line + b" HTTP/1.1", b"Host: " + host.encode(), *fields, b"", b""])

    async def ask(self, *fields: bytes, **where: Any) -> Answer:
        """Make a request with these field lines."""
        return (await asyncio.to_thread(self.trial.fire, object(), self._written(*fields, **where))).answer()

    async def received(self, *fields: bytes, listener: str = "plain", **where: Any) -> Request:
        """Return what the upstream got of a request that is permitted."""
        raw = self._written(*fields, **where)
        return await self.received_raw(raw, listener=listener)

    async def received_raw(self, raw: bytes, *, listener: str = "plain") -> Request:
        before = len(self.trial.recorder.requests)
        answer = (await asyncio.to_thread(self.trial.fire, object(), raw, listener=listener)).answer()
        assert answer.status == 200
        (request,) = self.trial.recorder.requests[before:]
        return request

    async def upstream_sees(self, name: str, *fields: bytes, **where: Any) -> list[str]:
        return (await self.received(*fields, **where)).values(name)

    async def call(self, *values: bytes) -> Any:
        """Return whom policy took the caller for. Raise Refused as the client saw it."""
        fields = [b"Authorization: " + value for value in values]
        answer = await self.ask(*fields)
        if answer.status == 200:
            return self._principal(answer)
        assert answer.code is not None
        challenge = (answer.get("www-authenticate") or "").encode()
        refused = Refused(CATALOGUE[answer.code], headers=((b"www-authenticate", challenge),))
        on_open_route = await self.ask(*fields, host="open.example.org")
        assert on_open_route.code == answer.code
        assert (on_open_route.get("www-authenticate") or "").encode() == challenge
        raise refused

    def _principal(self, answer: Answer) -> Any:
        request_id = answer.get("x-asked")
        assert request_id is not None
        decision_id = self.trial.gateway.access(request_id)["decision_id"]
        records = self.trial.gateway.of_type("decision")
        principal = next(record for record in records if record["decision_id"] == decision_id)["input"]["principal"]
        return SimpleNamespace(**{**principal, "groups": tuple(principal["groups"])})

    async def refused_field(self, value: bytes) -> None:
        """Hold that a field's value is 401 with its challenge, or too large for a head."""
        with pytest.raises(Refused) as refused:
            await self.call(value)
        if len(value) > 64 * 1024:
            assert refused.value.row is HEADERS_TOO_LARGE
        else:
            assert refused.value.row is TOKEN_INVALID
            assert b'error="invalid_token"' in refused.value.headers[0][1]

    async def becomes(self, token: bytes, status: int) -> None:
        """Wait until a token is answered with a status."""
        async with asyncio.timeout(PATIENCE):
            while (await self.ask(b"Authorization: Bearer " + token)).status != status:
                pass
