"""The shapes of the records that are no decisions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.telemetry.access import access_facts, access_line, event_record, timestamp, tls_record


@dataclass(frozen=True)
class Caller:
    kind: str = "user"
    id: str = "ana"
    issuer: str = "corp"
    claims: str = "not told"
    derived: dict[str, Any] = field(default_factory=dict)


REQUEST: dict[str, Any] = {
    "connection_id": "c1",
    "listener": "edge",
    "source": "192.0.2.7",
    "method": "GET",
    "host": "wiki.example.org",
    "path": "/a",
    "protocol": "http/1.1",
    "route": "wiki",
    "principal": Caller(),
    "peer": Caller(id="spiffe://example.org/ns/ci"),
}
EXCHANGE: dict[str, Any] = {
    "started": 1_700_000_000.25,
    "request_id": "r1",
    "facts": access_facts(**REQUEST),
    "status": 200,
    "code": None,
    "detail": None,
    "decision_id": "d1",
    "upstream": "wiki",
    "endpoint": "10.0.0.5:8080",
    "bytes_in": 3,
    "bytes_out": 5,
    "duration": 0.0012345,
}


def _record(**changes: object) -> dict[str, Any]:
    facts = access_facts(**REQUEST | {name: value for name, value in changes.items() if name in REQUEST})
    others = {name: value for name, value in changes.items() if name not in REQUEST}
    line = access_line(**EXCHANGE | {"facts": facts} | others)
    assert line.endswith(b"}\n")
    assert b"\n" not in line[:-1]
    record: dict[str, Any] = json.loads(line)
    return record


def test_an_access_record_has_the_published_fields_and_no_others() -> None:
    record = _record()
    assert list(record) == [
        "type", "time", "request_id", "connection_id", "listener", "source", "method", "host", "path", "protocol",
        "route", "principal", "peer", "status", "code", "detail", "decision_id", "upstream", "endpoint",
        "bytes_in", "bytes_out", "duration_ms",
    ]  # fmt: skip
    assert record["type"] == "access"
    assert record["time"] == "2023-11-14T22:13:20.250000Z"
    assert record["principal"] == {"kind": "user", "id": "ana", "issuer": "corp"}
    assert record["peer"] == {"id": "spiffe://example.org/ns/ci"}
    assert record["duration_ms"] == 1.234
    told = {"connection_id": "c1", "listener": "edge", "source": "192.0.2.7", "method": "GET", "path": "/a"}
    assert record | told == record


def test_who_was_not_recognised_is_null() -> None:
    record = _record(principal=None, peer=None, route="")
    assert (record["principal"], record["peer"], record["route"]) == (None, None, None)


@pytest.mark.parametrize("name", ["request_id", "method", "host", "path", "route", "code", "detail", "upstream"])
@pytest.mark.parametrize("text", ['"', "\\", "\n", "\x1b[2J", "é", "\ud800", '","status":200,"x":"'])
def test_no_text_leaves_its_field(name: str, text: str) -> None:
    assert _record(**{name: text}) == _record() | {name: text}


@pytest.mark.parametrize("name", ["kind", "id", "issuer"])
def test_no_identity_leaves_its_field(name: str) -> None:
    record = _record(principal=Caller(**{name: '"},"status":200'}))
    assert record["principal"][name] == '"},"status":200'
    assert _record(peer=Caller(id='"\n'))["peer"] == {"id": '"\n'}


def test_an_event_carries_its_name_its_time_and_its_own_fields() -> None:
    record = event_record("listening", addresses={"edge": "127.0.0.1:8443"})
    assert record | {"time": ""} == {
        "type": "event", "time": "", "event": "listening", "addresses": {"edge": "127.0.0.1:8443"},
    }  # fmt: skip
    assert datetime.fromisoformat(record["time"]).tzinfo == UTC


def test_a_failed_handshake_names_its_reason() -> None:
    record = tls_record(listener="edge", connection_id="c1", source="192.0.2.7", sni=None, reason="certificate expired")
    assert record["type"] == "tls"
    assert record["reason"] == "certificate expired"
    assert record["sni"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.999_999_4, "2023-11-14T22:13:20.999999Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500000Z"),
    ],
)
def test_a_time_is_rfc_3339_in_utc(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text
