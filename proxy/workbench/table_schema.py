"""The keys of a table test, once for whoever reads one and once for editors: each with its reader and its JSON Schema.

A reader returns what a value means, or raises ValueError with the rule that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from proxy.config.units import DURATION_PATTERN, parse_duration
from proxy.errors import CATALOGUE
from proxy.workbench.asking import read_time
from proxy.workbench.case import METHODS, split_url
from proxy.workbench.glossary import DIALECT
from proxy.workbench.way import HANDSHAKE_FAILED, OWN_PAGE

CODES: Final = (*sorted(CATALOGUE), HANDSHAKE_FAILED, OWN_PAGE)


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Args:
        read: returns what its value means, or raises ValueError.
        schema: of its value, for editors.
        text: what it says.
    """

    read: Callable[[Any], Any]
    schema: dict[str, Any]
    text: str


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text" if isinstance(value, str) else "must be text: put it in quotes")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list")  # noqa: TRY004 - a file is wrong, not a call
    return tuple(map(_text, value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004
    return value


def _fields(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(item)) for name, item in _object(value).items())


def _duration(value: Any) -> float:
    return parse_duration(value)


def _time(value: Any) -> float:
    return read_time(_text(value))


def _url(value: Any) -> str:
    split_url(_text(value))
    return str(value)


def _address(value: Any) -> str:
    try:
        return str(ip_address(_text(value)))
    except ValueError:
        raise ValueError("must be an IP address") from None


def _status(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 599:
        raise ValueError("must be a status, or 0 where there is no answer")
    return value


def _choice(names: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return str(value)

    return read


_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}
_FIELDS: Final[dict[str, Any]] = {"type": "object", "additionalProperties": _TEXT}
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}

GIVEN: Final[Mapping[str, Key]] = {
    "user": Key(_text, _TEXT, "The user's subject; an e-mail address is the subject and the verified address."),
    "email": Key(_text, _TEXT, "The user's verified address."),
    "groups": Key(_texts, _TEXTS, "The user's groups."),
    "claims": Key(_object, {"type": "object"}, "Further claims of the user's token or session."),
    "issuer": Key(_text, _TEXT, "The user's issuer, by its name in the configuration, where there are several."),
    "method": Key(
        _choice(METHODS), {"enum": [*METHODS]}, "How the user is proven; a browser by a session, else a token."
    ),
    "age": Key(_duration, {"type": "string", "pattern": DURATION_PATTERN}, "How long ago the user signed in."),
    "amr": Key(_texts, _TEXTS, "By what the user signed in (RFC 8176)."),
    "acr": Key(_text, _TEXT, "How strongly the user signed in: the authentication context class."),
    "workload": Key(_text, {"type": "string", "pattern": "^spiffe://"}, "The SPIFFE ID on the connection."),
    "device": Key(_text, {"type": "string", "pattern": "^[^:]+:."}, "The device on the connection, NAME:ID."),
    "source": Key(_address, _TEXT, "The client's IP address."),
    "time": Key(_time, {"type": "string", "format": "date-time"}, "When it is; now if left out."),
}
WHEN: Final[Mapping[str, Key]] = {
    "method": Key(_text, _TEXT, "The method; GET if left out."),
    "url": Key(_url, {"type": "string", "pattern": "^https?://"}, "The whole URL."),
    "headers": Key(_fields, _FIELDS, "Header fields."),
    "body": Key(_flag, _FLAG, "Whether a body follows."),
    "listener": Key(_text, _TEXT, "The listener that the request comes to, where the URL does not tell."),
}
THEN: Final[Mapping[str, Key]] = {
    "allow": Key(_flag, _FLAG, "Whether the request is forwarded."),
    "status": Key(
        _status, {"type": "integer", "minimum": 0, "maximum": 599}, "The status of the answer; 200 if allowed."
    ),
    "code": Key(_choice(CODES), {"enum": [*CODES]}, "The code of the refusal."),
    "route": Key(_text, _TEXT, "The route that it is on."),
    "reasons": Key(_texts, _TEXTS, "Reasons that the policy gives, among others."),
    "public_reason": Key(_text, _TEXT, "The policy's sentence for the person."),
    "headers": Key(_fields, _FIELDS, "Header fields, for the upstream if it is allowed, for the client if not."),
}
FILE: Final[Mapping[str, Key]] = {
    "config": Key(_text, _TEXT, "The configuration, from this file's folder."),
    "policy": Key(
        _text, _TEXT, "The policy, from this file's folder; in place of the configuration's, or without one."
    ),
    "decision": Key(_text, _TEXT, "The rule that decides."),
}


def schema_of_tests() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file of table tests."""
    request = {
        "anyOf": [
            {"type": "string", "pattern": "^([A-Z]+ )?https?://", "description": "METHOD URL, or a URL."},
            _schema(WHEN, required=("url",)),
        ]
    }
    test = {
        "type": "object",
        "properties": {
            "name": {**_TEXT, "description": "What holds, as a sentence."},
            "todo": {**_FLAG, "description": "Do not run it yet."},
            "given": {**_schema(GIVEN), "description": "Who asks, beside what the file gives; nobody if left out."},
            "when": {**request, "description": "The request."},
            "then": {**_schema(THEN), "minProperties": 1, "description": "What the gateway does."},
        },
        "required": ["name", "when", "then"],
        "additionalProperties": False,
    }
    whole = _schema(FILE, required=("tests",))
    whole["properties"] |= {
        "given": {**_schema(GIVEN), "description": "What holds for every test of the file."},
        "tests": {"type": "array", "minItems": 1, "items": test},
    }
    return {"$schema": DIALECT, "title": "Table tests of a ztproxy policy", **whole}


def _schema(keys: Mapping[str, Key], required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {**key.schema, "description": key.text} for name, key in keys.items()},
        "additionalProperties": False,
    }
    return schema | ({"required": [*required]} if required else {})
