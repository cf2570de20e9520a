"""The decision record as its line: OPA's decision-log format, whole enough to replay another policy against it.

The input is spelled part by part, and a part that comes again (a principal, a peer, a route, a header block) is spelled
once: every request has a record, and a dictionary with its encoder would cost more than the decision. What a part says
is `input`'s, what of it is secret is `audit`'s. Envoy's shape is left out, for `input.envoy_shape` makes it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, cast

from proxy.errors import DECISION_LOG_UNAVAILABLE, INPUT_REFUSED, Refused
from proxy.http.message import BodyKind, Target
from proxy.identity.principal import Peer, Principal, SignIn, sign_in_of
from proxy.policy.audit import without_secrets
from proxy.policy.decision import UNDEFINED
from proxy.policy.input import (
    SCHEMA,
    Inquiry,
    age,
    certificate_document,
    joined,
    minute_document,
    peer_document,
    plain_address,
    principal_document,
    unix_ns,
)
from proxy.telemetry.access import quoted, timestamp
from proxy.telemetry.records import RecordsUnavailable, Spell

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class Told(NamedTuple):
    """A value as a record tells it: JSON, and pointers (RFC 6901) to what was erased."""

    text: str
    erased: tuple[str, ...] = ()


def told(value: object, at: str) -> Told:
    """Return any JSON value as a record tells it.

    Args:
        at: the pointer to its place in the record.
    """
    erased: list[str] = []
    return Told(_encode(without_secrets(value, erased, at)), tuple(erased))


def told_result(result: object) -> Told | None:
    """Return an engine's answer as a record tells it; None: it gave none."""
    # Headers that policy sets may carry a credential for the upstream, or a cookie.
    return None if result is UNDEFINED else told(result, "/result")


def spell(
    spelling: Spelling,
    inquiry: Inquiry,
    decision_id: str,
    request_id: str,
    time: float,
    path: str,
    result: Told | None,
    evaluation_ns: int,
    failure: Refused | None,
) -> bytes:
    """Return the line of a decision's `Facts`."""
    error = answer = ""
    now = timestamp(time)
    try:
        sign_in, begin, before, after, erased = spelling.parts(inquiry)
    except Refused:  # it cannot be told as text; what names the request can
        document, erased = _names(inquiry, request_id), ()
    else:
        aged = age(sign_in, time)
        moving = "" if aged is None else f',"age":{aged}'
        document = (
            f'{begin}{moving}{before}{quoted(request_id)}{after}{now}","unix_ns":{unix_ns(time)},{_minute(time)}}}'
        )
    if result is not None:
        answer = f',"result":{result.text}'
        erased += result.erased
    if failure is not None:
        error = f',"error":{{"code":"{failure.row.code}","message":{quoted(failure.detail or "")}}}'
    return (
        f'{{"type":"decision","decision_id":{quoted(decision_id)},"path":{quoted(path)},"input":{document},'
        f'"bundles":{spelling.bundles},"metrics":{{"timer_rego_query_eval_ns":{evaluation_ns}}},"timestamp":"{now}",'
        f'"erased":{_encode(erased) if erased else "[]"}{answer}{error}}}\n'
    ).encode("ascii")


class Spelling:
    """How the records of one generation of policy and routes are spelled.

    Args:
        revision: of policy and data.
    """

    __slots__ = ("_routes", "bundles")

    def __init__(self, revision: str) -> None:
        self.bundles = _encode({"policy": {"revision": revision}})
        self._routes: dict[str, tuple[Mapping[str, str], str]] = {}

    def parts(self, inquiry: Inquiry) -> tuple[SignIn, str, str, str, tuple[str, ...]]:
        """Return what the caller's age is counted from, the input in parts, and pointers to what was erased.

        The parts are what stands before that age, from there to the request's id, and from there to its time.
        """
        known = inquiry.told
        if known is not None and known[0] is self:
            return known[1]  # type: ignore[no-any-return]
        head, target, peer = inquiry.head, inquiry.target, inquiry.peer
        principal, headers, place = _principal(inquiry.principal), told_headers(inquiry), told_target(target)
        begin = f'{{"schema":"{SCHEMA}","principal":{principal.text.removesuffix("}}")}'
        before = f'}}}},"peer":{_peer(peer) if peer is not None else "null"},"request":{{"id":'
        after = (
            f',"method":{quoted(head.method.decode("ascii"))},"scheme":"{inquiry.scheme}",{place.text},'
            f'"headers":{headers.text},"protocol":"{"HTTP/1.1" if head.version == (1, 1) else "HTTP/1.0"}",'
            f'"has_body":{"true" if head.framing.kind is not BodyKind.NONE else "false"}}},'
            f'"route":{self._route(inquiry.route, inquiry.labels)},"listener":{quoted(inquiry.listener)},'
            f'"tls":{_tls(inquiry)},"source":{_source(inquiry.source, inquiry.source_port)},"time":{{"now":"'
        )
        erased = headers.erased + place.erased + principal.erased
        parts = sign_in_of(inquiry.principal), begin, before, after, erased
        inquiry.told = self, parts
        return parts

    def _route(self, name: str, labels: Mapping[str, str]) -> str:
        known = self._routes.get(name)
        if known is None or known[0] is not labels:
            known = self._routes[name] = labels, _encode({"name": name, "labels": dict(labels)})
        return known[1]


class Facts(NamedTuple):
    """What a decision record is spelled of, by whoever writes it.

    Args:
        spelling: how.
        inquiry: the request. What is read of it is the same for every request that it may stand for.
        decision_id, request_id: of this one.
        time: POSIX seconds, of this one.
        path: the rule that was asked, such as `ztproxy/authz/decision`.
        result: what the engine answered, or None where it answered nothing.
        evaluation_ns: nanoseconds that the evaluation took.
        failure: why the request was refused, unless it was permitted.
    """

    spelling: Spelling
    inquiry: Inquiry
    decision_id: str
    request_id: str
    time: float
    path: str
    result: Told | None
    evaluation_ns: int
    failure: Refused | None = None


def _names(inquiry: Inquiry, request_id: str) -> str:
    return _encode({"schema": SCHEMA, "request": {"id": request_id}, "route": {"name": inquiry.route}})


def told_headers(inquiry: Inquiry) -> Told:
    """Return `input.request.headers` as a record tells them.

    Raises:
        Refused: INPUT_REFUSED; a value is not UTF-8.
    """
    block = inquiry.head.block
    if inquiry.headers is not block.passing:
        return _headers(inquiry)
    if block.told is None:
        block.told = _headers(inquiry)
    return block.told  # type: ignore[return-value]  # http keeps it and does not know what it is


def _headers(inquiry: Inquiry) -> Told:
    try:
        return told(joined(inquiry.headers), "/input/request/headers")
    except UnicodeDecodeError:
        raise _no_text() from None


def told_target(target: Target) -> Told:
    """Return the members of `input.request` that say where a request goes, as a record tells them.

    Raises:
        Refused: INPUT_REFUSED; the query is not UTF-8.
    """
    if target.told is None:
        target.told = _target(target)
    return cast("Told", target.told)  # http keeps it and does not know what it is


def _target(target: Target) -> Told:
    try:
        query = target.query.decode() if target.query else ""
    except UnicodeDecodeError:
        raise _no_text() from None
    clean = told(query, "/input/request/query") if query else Told('""')
    segments = ",".join(map(quoted, target.segments))
    text = (
        f'"host":{quoted(target.host)},"authority":{quoted(target.authority)},'
        f'"path":{quoted(target.path.decode("ascii"))},"path_segments":[{segments}],"query":{clean.text}'
    )
    return Told(text, clean.erased)


def _no_text() -> Refused:
    return Refused(INPUT_REFUSED, "header fields and query must be valid utf-8")


def _principal(principal: Principal) -> Told:
    known: Told | None = principal.derived.get("decision")
    if known is None:
        known = principal.derived["decision"] = told(principal_document(principal), "/input/principal")
    return known


def _peer(peer: Peer) -> str:
    text: str | None = peer.derived.get("decision")
    if text is None:
        text = peer.derived["decision"] = _encode(peer_document(peer))
    return text


def _tls(inquiry: Inquiry) -> str:
    if inquiry.tls_version is None:
        return "null"
    return (
        f'{{"version":"{inquiry.tls_version}","sni":{quoted(inquiry.sni) if inquiry.sni is not None else "null"},'
        f'"client_certificate":{_certificate(inquiry.peer) if inquiry.peer is not None else "null"}}}'
    )


def _certificate(peer: Peer) -> str:
    text: str | None = peer.derived.get("certificate")
    if text is None:
        text = peer.derived["certificate"] = _encode(certificate_document(peer.certificate))
    return text


def _source(address: str, port: int) -> str:
    return f'{{"address":"{plain_address(address)}","port":{port}}}'


def _minute(seconds: float) -> str:
    return _spelled_minute(int(seconds * 1_000_000) // 60_000_000)


@lru_cache(maxsize=16)
def _spelled_minute(minutes: int) -> str:
    return _encode(minute_document(minutes * 60.0))[1:]


_SPELLED = 2048  # bytes of a record, about
_HELD = (
    3  # times that a queued request's head is in memory: its fields, as the upstream gets them, as a record tells them
)


class Lines(Protocol):
    """What takes records: a writer of `telemetry/records`."""

    def write_later(self, spell: Spell, values: tuple[Any, ...], kind: str, size: int) -> None:
        """Take a record that is spelled later."""

    async def write_through(self, line: bytes, kind: str) -> None:
        """Return once a record is written."""


class DecisionLog:
    """Where decision records go.

    Args:
        writer: takes them, or None where decisions are not logged.
        required: a permit is issued only once its record is written.
    """

    __slots__ = ("_required", "_writer")

    def __init__(self, writer: Lines | None, *, required: bool) -> None:
        self._writer = writer
        self._required = required

    @property
    def required(self) -> bool:
        """Whether a permit waits for its record."""
        return self._required

    @property
    def wanted(self) -> bool:
        """Whether a record is written anywhere."""
        return self._writer is not None

    def write(self, values: Facts) -> None:
        """Queue a record; one that is lost is counted."""
        if self._writer is not None:
            size = _SPELLED + _HELD * values.inquiry.head.block.size
            self._writer.write_later(spell, values, "decision", size)

    async def write_through(self, values: Facts) -> None:
        """Return once the record is written. Raise Refused(DECISION_LOG_UNAVAILABLE)."""
        if self._writer is None:
            raise Refused(DECISION_LOG_UNAVAILABLE, "decision_log.required needs a decision log")
        try:
            await self._writer.write_through(spell(*values), "decision")
        except RecordsUnavailable as unavailable:
            raise Refused(DECISION_LOG_UNAVAILABLE, str(unavailable)) from None
