"""Requests in great number, each a few fields away from the one before: what proofs about decisions are held against.

A question is a choice for each knob, one knob for each field of the input that can vary by itself. The choices are such
that every policy that ships says now yes, now no.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from proxy.http.message import CHUNKED, NO_BODY, RequestHead
from proxy.http.target import parse_target
from proxy.identity.principal import CertificateFacts, Peer, Principal
from proxy.policy.input import Inquiry
from tests.policy.inquiries import NOON

Question = dict[str, Any]

_DEVICES = "spiffe://example.org/device/7"
_PEERS = [
    _DEVICES, "spiffe://example.org/ns/ci/sa/runner", "spiffe://partner.example/build", "spiffe://example.org/device",
    "mdm:7",
]  # fmt: skip
_GROUPS: list[tuple[str, ...]] = [
    (),
    ("engineering",),
    ("staff", "engineering"),
    ("editors",),
    ("everybody", "support"),
    ("support", "finance", "operators"),
    ("finance", "operators"),
    ("operators",),
    ("on-call",),
    ("administrators",),
    ("employees",),
    ("contractors",),
]
_PATHS = [
    "/", "/docs", "/docs/a", "/src/a", "/admin/x", "/staff", "/public/a%20b", "/public/a%2Fb", "/users/user-1/photo",
    "/users/user-2", "/articles/1", "/drafts/2", "/API/%C3%A9",
]  # fmt: skip
_CLAIMS: dict[str, list[Any]] = {
    "department": [None, "finance", "audit", 7, 7.0, True, "7", ["finance"], ["audit", 7], {}],
    "acr": [None, "phr", "phrh", 1],
    "auth_time": [1, None],
    "amr": [None, ["pwd", "otp"], "pwd", ["pwd", 7]],
    "org": [None, "acme", {"team": "blue"}, {"team": {"name": "blue"}}, ["blue"], {"team": None}],
}
# By knob; None stands for what is not there. A knob's first choice is the usual one.
CHOICES: dict[str, list[Any]] = {
    "method": ["GET", "HEAD", "POST", "PUT", "DELETE"],
    "scheme": ["https", "http"],
    "host": ["wiki.example.org", "docs.example.org"],
    "port": [None, "8443"],
    "path": _PATHS,
    "query": [None, "", "size=large", "size=small", "size=large&size=7", "q=%C3%A9+e&size=", "q=7"],
    "version": [(1, 1), (1, 0)],
    "framing": [NO_BODY, CHUNKED],
    "listener": ["edge", "inner"],
    "tls_version": ["TLSv1.3", "TLSv1.2", None],
    "sni": ["wiki.example.org", None, "docs.example.org"],
    "source": ["203.0.113.7", "198.51.100.1", "::ffff:203.0.113.7", "2001:db8::7", "10.0.0.1", ""],
    "source_port": [50123, 0, 1],
    "time": [NOON, NOON + 1, NOON + 60, NOON + 3600, NOON + 86400, NOON + 87000, NOON + 2 * 86400, NOON + 63 * 3600],
    "request_id": ["request-1", "request-2"],
    "route": ["wiki", "docs"],
    "header.accept": ["*/*", "text/html", None],
    "header.cookie": [None, "a=1", "b=2"],
    "header.x-break-glass-ticket": [None, "INC-1234", "INC-7", "INC-12345678"],
    "header.x-team": [None, "blue", "rot", "bläu"],
    "header.x-forwarded-proto": [None, "https"],
    "twice.x-team": [None, "blue"],
    "label.tier": ["internal", None, "public"],
    "label.owner": [None, "blue"],
    "principal.kind": ["user", "workload", "anonymous"],
    "principal.id": ["user-1", "user-2", "", "ana"],
    "principal.issuer": ["corp", "partner", "example.org", ""],
    "principal.issuer_url": ["https://idp.example.org", ""],
    "principal.email": ["ana@example.org", "", "eve@example.org"],
    "principal.groups": _GROUPS,
    "principal.method": ["bearer", "mtls", "none"],
    "principal.authenticated_at": [NOON - 60, None, NOON, 1732447140, NOON + 120, NOON + 30],
    "principal.amr": [(), ("hwk",)],
    "principal.acr": ["", "gold"],
    **{f"claim.{name}": values for name, values in _CLAIMS.items()},
    "peer": [True, False],
    "peer.id": _PEERS,
    "peer.kind": ["workload", "device"],
    "peer.trust_domain": ["example.org", "partner.example", ""],
    "peer.path": ["/device/7", "", "/ns/ci"],
    "certificate.sha256": ["ab" * 32, "cd" * 32],
    "certificate.subject": ["CN=leaf", ""],
    "certificate.serial": ["1f", "2a"],
    "certificate.not_before": [NOON - 3600, NOON - 7200],
    "certificate.not_after": [NOON + 3600, NOON + 7200],
    "certificate.dns": [("leaf.example.org",), (), ("leaf.example.org", "b.example.org")],
    "certificate.uri": [_DEVICES, "spiffe://example.org/other"],
}  # fmt: skip


def usual() -> Question:
    """Return the question of which every knob has its first choice."""
    return {knob: choices[0] for knob, choices in CHOICES.items()}


def walk(seed: int, count: int, *, most: int = 3) -> Iterator[Question]:
    """Yield questions, each with one to `most` knobs turned since the one before, or since the usual one."""
    dice = random.Random(seed)
    question = usual()
    for _ in range(count):
        question = usual() if dice.random() < 0.05 else dict(question)
        for knob in dice.sample(list(CHOICES), dice.randint(1, most)):
            question[knob] = CHOICES[knob][0] if dice.random() < 0.3 else dice.choice(CHOICES[knob])
        yield question


def turns(question: Question, dice: random.Random) -> Iterator[tuple[str, Question]]:
    """Yield a question's neighbours: for each knob the question with another choice there."""
    for knob, choices in CHOICES.items():
        others = [choice for choice in choices if (choice, type(choice)) != (question[knob], type(question[knob]))]
        yield knob, {**question, knob: dice.choice(others)}


def posed(question: Question) -> Inquiry:
    """Return the inquiry of a question. Equal callers are one object, as they are on a connection and for a token."""
    method, target = question["method"].encode(), question["path"].encode()
    if question["query"] is not None:
        target += b"?" + question["query"].encode()
    host = question["host"] + (f":{question['port']}" if question["port"] else "")
    headers = [(name.encode(), value.encode()) for name, value in _members(question, "header")]
    headers += [(name.encode(), value.encode()) for name, value in _members(question, "twice")]
    return Inquiry(
        head=RequestHead(method, target, question["version"], [], question["framing"]),
        headers=headers,
        target=parse_target(method, target, [host.encode()], question["version"]),
        principal=_same(question, ("principal.", "claim."), _principal),
        peer=_same(question, ("peer.", "certificate."), _peer)
        if question["peer"] and question["tls_version"]
        else None,
        labels=dict(_members(question, "label")),
        decision_id="decision-1",
        **{knob: question[knob] for knob in _PLAIN},
    )


_PLAIN = ("route", "listener", "tls_version", "sni", "source", "source_port", "time", "request_id", "scheme")
_PRINCIPAL = [knob.removeprefix("principal.") for knob in CHOICES if knob.startswith("principal.")]
_PEER = [knob.removeprefix("peer.") for knob in CHOICES if knob.startswith("peer.")]
_CERTIFICATE = [knob.removeprefix("certificate.") for knob in CHOICES if knob.startswith("certificate.")]


def _members(question: Question, kind: str) -> list[tuple[str, Any]]:
    prefix = kind + "."
    return [
        (knob.removeprefix(prefix), value)
        for knob, value in question.items()
        if knob.startswith(prefix) and value is not None
    ]


def _principal(question: Question) -> Principal:
    claims = dict(_members(question, "claim"))
    given = {name: question[f"principal.{name}"] for name in _PRINCIPAL}
    return Principal(**given, claims=claims, expires_at=NOON + 10 * 86400)


def _peer(question: Question) -> Peer:
    facts = CertificateFacts(der=b"leaf", **{name: question[f"certificate.{name}"] for name in _CERTIFICATE})
    return Peer(expires_at=NOON + 9 * 86400, certificate=facts, **{name: question[f"peer.{name}"] for name in _PEER})


_callers: dict[str, Any] = {}


def _same(question: Question, kinds: tuple[str, ...], make: Callable[[Question], Any]) -> Any:
    """Return the caller that these knobs make, of equal ones the first."""
    spelled = repr([(knob, value) for knob, value in question.items() if knob.startswith(kinds)])
    if len(_callers) > 5_000:
        _callers.clear()
    if spelled not in _callers:
        _callers[spelled] = make(question)
    return _callers[spelled]
