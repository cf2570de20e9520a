"""The input document by its fields: how each is made of a request, and what tells two requests apart in it.

`shown` makes of this table whatever part of the document a policy reads. It must agree with `input`, which is straight
and whole: where two requests are told the same, the field is equal, type for type. So what tells is a string, bytes or
None, a tuple of these, or canonical JSON, and never a number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from proxy.http.message import BodyKind, Headers
from proxy.identity.principal import sign_in_of
from proxy.policy import input as whole
from proxy.policy.input import Inquiry
from proxy.telemetry.access import timestamp

Make = Callable[[Inquiry], Any]

ABSENT: Final = object()  # the value of what is not in the document


_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical(value: Any) -> str:
    """Return JSON in which equal texts mean equal values of equal types: 1, 1.0, "1" and true are four texts."""
    return _encode(value)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the document that policy may read.

    Args:
        make: returns its value.
        told_by: an attribute of the inquiry, or a function, that tells two requests apart; None: all are the same.
        named: for an object whose members come from outside: returns the field that has members of these names alone.
        is_sure: its value is fit for any engine by the way it is made: decoded text, numbers of ours, and few of them.
    """

    make: Make
    told_by: str | Make | None = None
    named: Callable[[tuple[str, ...]], Field] | None = None
    is_sure: bool = False


@dataclass(frozen=True, slots=True)
class Owned:
    """A field that is made of the principal or the peer alone: once for each of them, and checked and spelled then.

    Args:
        owner: `principal` or `peer`.
        name: among the parts of its owner.
        lacking: what it is without a peer.
        moving: the one member of it that changes by itself: the way to it, and its field.
    """

    owner: str
    name: str
    lacking: Any = None
    moving: tuple[str, str, Field] | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """An object of known fields.

    Args:
        fields: by name.
        present: tells whether it is there; None: it always is.
        lacking: what it is otherwise.
    """

    fields: Mapping[str, Field | Owned | Branch]
    present: Callable[[Inquiry], bool] | None = None
    lacking: Any = None


def _value(told_by: str | Make, make: Make | None = None, *, is_sure: bool = True) -> Field:
    """Return a field that is what it is told by: an attribute, or the value of a function."""
    if isinstance(told_by, str):
        return Field(make or attrgetter(told_by), told_by, is_sure=is_sure)
    return Field(make or told_by, told_by, is_sure=is_sure)


def _constant(value: Any) -> Field:
    return Field(lambda inquiry: value, is_sure=True)


def _query(inquiry: Inquiry) -> str:
    query = inquiry.target.query
    return query.decode() if query else ""


def _path_and_query(inquiry: Inquiry) -> str:
    target = inquiry.target
    return (target.path + b"?" + target.query if target.query else target.path).decode()


def _has_body(inquiry: Inquiry) -> bool:
    return inquiry.head.framing.kind is not BodyKind.NONE


def _has_tls(inquiry: Inquiry) -> bool:
    return inquiry.tls_version is not None


def _minute(name: str) -> Field:
    return Field(
        lambda inquiry: whole.minute_document(inquiry.time)[name],
        lambda inquiry: str(whole.minute_document(inquiry.time)[name]),
        is_sure=True,
    )


def _age(inquiry: Inquiry) -> Any:
    age = whole.age(sign_in_of(inquiry.principal), inquiry.time)
    return ABSENT if age is None else age


def _told_age(inquiry: Inquiry) -> str | None:
    age = whole.age(sign_in_of(inquiry.principal), inquiry.time)
    return None if age is None else str(age)


def _labels(names: tuple[str, ...]) -> Field:
    return Field(
        lambda inquiry: {name: inquiry.labels[name] for name in names if name in inquiry.labels},
        lambda inquiry: tuple([inquiry.labels.get(name) for name in names]),
    )


def _found(fields: Headers, name: bytes) -> bytes | None:
    """Return a field's value as `input.joined` joins several, or None."""
    found = None
    for each, value in fields:
        if each == name:
            found = value if found is None else found + (b"; " if name == b"cookie" else b", ") + value
    return found


def _headers(names: tuple[str, ...]) -> Field:
    wanted = [(name, name.encode()) for name in names]

    def make(inquiry: Inquiry) -> dict[str, str]:
        found = [(name, _found(inquiry.headers, raw)) for name, raw in wanted]
        return {name: value.decode() for name, value in found if value is not None}

    if len(wanted) == 1:
        raw = wanted[0][1]
        return Field(make, lambda inquiry: _found(inquiry.headers, raw), is_sure=True)
    return Field(make, lambda inquiry: tuple([_found(inquiry.headers, raw) for _, raw in wanted]), is_sure=True)


def _pseudo(inquiry: Inquiry) -> dict[str, str]:
    return {
        ":authority": inquiry.target.authority,
        ":method": inquiry.head.method.decode("ascii"),
        ":path": _path_and_query(inquiry),
    }


def _envoy_headers(names: tuple[str, ...]) -> Field:
    """Return the field of some of Envoy's headers, which have the target among them."""
    own, pseudo = _headers(names), [name for name in names if name.startswith(":")]
    tell: Any = own.told_by
    if not pseudo:
        return own

    def make(inquiry: Inquiry) -> dict[str, str]:
        there, rest = _pseudo(inquiry), own.make(inquiry)
        return {**{name: there[name] for name in pseudo if name in there}, **rest}

    return Field(make, lambda inquiry: (tell(inquiry), *[_pseudo(inquiry).get(name) for name in pseudo]))


def _parsed_query(inquiry: Inquiry) -> dict[str, list[str]]:
    return whole.parsed_query(_query(inquiry)) if inquiry.target.query else {}


def _parameters(names: tuple[str, ...]) -> Field:
    def make(inquiry: Inquiry) -> dict[str, list[str]]:
        parsed = _parsed_query(inquiry)
        return {name: parsed[name] for name in names if name in parsed}

    return Field(make, lambda inquiry: canonical(make(inquiry)) if inquiry.target.query else "{}")


def _spelled(make: Make) -> Make:
    return lambda inquiry: canonical(make(inquiry))


def _all_headers(inquiry: Inquiry) -> dict[str, str]:
    return whole.joined(inquiry.headers)


def _all_envoy_headers(inquiry: Inquiry) -> dict[str, str]:
    return _pseudo(inquiry) | whole.joined(inquiry.headers)


def _decoded_path(inquiry: Inquiry) -> list[str]:
    return whole.decoded_path(inquiry.target.segments, inquiry.target.path.decode("ascii"))


_METHOD: Final = _value("head.method", lambda inquiry: inquiry.head.method.decode("ascii"))
_AUTHORITY: Final = _value("target.authority")
_PROTOCOL: Final = _value(lambda inquiry: whole.protocol(inquiry.head))
_SCHEME: Final = _value("scheme")
_ID: Final = _value("request_id", is_sure=False)
_NOW: Final = _value(lambda inquiry: timestamp(inquiry.time))
_BODY: Final = Field(_has_body, lambda inquiry: "" if _has_body(inquiry) else None, is_sure=True)
_ADDRESS: Final = _value(lambda inquiry: whole.plain_address(inquiry.source))
_PORT: Final = Field(attrgetter("source_port"), lambda inquiry: str(inquiry.source_port), is_sure=True)
_PATH_AND_QUERY: Final = _value(_path_and_query)
_SNI: Final = _value("sni", is_sure=False)
_PEER_ID: Final = Owned("peer", "id", ABSENT)

_AUTHENTICATION: Final = ("authentication", "age", Field(_age, _told_age, is_sure=True))

_REQUEST: Final = Branch({
    "id": _ID,
    "method": _METHOD,
    "scheme": _SCHEME,
    "host": _value("target.host"),
    "authority": _AUTHORITY,
    "path": _value("target.path", lambda inquiry: inquiry.target.path.decode("ascii")),
    "path_segments": _value("target.segments", lambda inquiry: list(inquiry.target.segments)),
    "query": Field(_query, lambda inquiry: inquiry.target.query or None, is_sure=True),
    "headers": Field(_all_headers, _spelled(_all_headers), _headers),
    "protocol": _PROTOCOL,
    "has_body": _BODY,
})  # fmt: skip

_HTTP: Final = Branch({
    "id": _ID,
    "method": _METHOD,
    "headers": Field(_all_envoy_headers, _spelled(_all_envoy_headers), _envoy_headers),
    "host": _AUTHORITY,
    "path": _PATH_AND_QUERY,
    "protocol": _PROTOCOL,
    "scheme": _SCHEME,
})  # fmt: skip

_SOCKET: Final = Branch({"address": _ADDRESS, "portValue": _PORT})

DOCUMENT: Final = Branch({
    "schema": _constant(whole.SCHEMA),
    "principal": Owned("principal", "principal", moving=_AUTHENTICATION),
    "peer": Owned("peer", "peer"),
    "request": _REQUEST,
    "route": Branch({
        "name": Field(attrgetter("route"), is_sure=True),  # which always tells
        "labels": Field(
            lambda inquiry: dict(inquiry.labels), lambda inquiry: tuple(sorted(inquiry.labels.items())), _labels
        ),
    }),
    "listener": _value("listener"),
    "tls": Branch(
        {"version": _value("tls_version"), "sni": _SNI, "client_certificate": Owned("peer", "certificate")}, _has_tls
    ),
    "source": Branch({"address": _ADDRESS, "port": _PORT}),
    "time": Branch({
        "now": _NOW,
        "unix_ns": Field(
            lambda inquiry: whole.unix_ns(inquiry.time), lambda inquiry: str(whole.unix_ns(inquiry.time))
        ),
        **{name: _minute(name) for name in ("minute_ns", "minute", "hour", "weekday")},
    }),
    "attributes": Branch({
        "source": Branch({"address": Branch({"socketAddress": _SOCKET}), "principal": _PEER_ID}),
        "request": Branch({"time": _NOW, "http": _HTTP}),
        "contextExtensions": _constant({}),
        "metadataContext": _constant({}),
        "tlsSession": Branch(
            {"sni": _SNI}, lambda inquiry: _has_tls(inquiry) and inquiry.sni is not None, ABSENT
        ),
    }),
    "parsed_path": Field(_decoded_path, lambda inquiry: tuple(_decoded_path(inquiry))),
    "parsed_query": Field(_parsed_query, _spelled(_parsed_query), _parameters),
    "source_principal": _PEER_ID,
    "truncated_body": _BODY,
    "version": Branch({name: _constant(value) for name, value in whole.ENVOY_VERSION.items()}),
})  # fmt: skip
