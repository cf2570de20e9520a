"""The decision record: OPA's decision-log format, whole enough to replay another policy against it, without secrets.

It knows the input's shape and which names are secret. It knows no policy and no socket; the writer belongs to
`telemetry/records`. Envoy's shape is left out, for `input.envoy_shape` makes it again of what is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from proxy.errors import DECISION_LOG_UNAVAILABLE, Refused
from proxy.policy.decision import UNDEFINED
from proxy.telemetry.records import RecordsUnavailable, Writer

ERASED: Final = "erased"

# Names are compared in lower case without `-`, `_`, `.` and space. Over-erasing costs a replay, under-erasing a secret.
_SECRET_PARTS = (
    "token", "secret", "password", "passwd", "passphrase", "authorization", "cookie", "apikey", "accesskey",
    "privatekey", "credential", "signature", "assertion", "session", "jwt", "saml", "otp", "bearer",
)  # fmt: skip
_SECRET_NAMES = frozenset(
    {"auth", "code", "codeverifier", "hmac", "key", "pass", "pin", "pwd", "sid", "sig", "state", "ticket", "usercode"}
)
_SECRET_ENDS = ("key", "auth", "authentication", "sid", "dpop", "websocketprotocol")
# What is a credential whatever it is called: an authentication scheme's, a JWT, a password in a URL.
_CREDENTIAL = re.compile(r"\b(?:bearer|basic|dpop|negotiate)[\s.]+\S+|eyJ[\w-]+\.[\w-]*\.[\w-]*|(?<=//)[^/@\s]+@", re.I)
_FOLDED = str.maketrans("", "", "-_. ")
_DELIMITER = re.compile(r"([?&;#]|%26|%3[bB]|%3[fF]|%23)")
_LONGEST_REMEMBERED = 64  # names come from clients: a memory of long ones would be theirs to fill


def is_secret(name: str) -> bool:
    """Tell whether what goes by this name (a header, a query parameter, a claim) must not be in a record."""
    return _remembered(name) if len(name) <= _LONGEST_REMEMBERED else _names_a_secret(name)


def _names_a_secret(name: str) -> bool:
    folded = name.lower().translate(_FOLDED)
    return folded in _SECRET_NAMES or folded.endswith(_SECRET_ENDS) or any(part in folded for part in _SECRET_PARTS)


_remembered = lru_cache(maxsize=4096)(_names_a_secret)


def erase_query(text: str) -> str:
    """Return a query, or a URL with one, without the values of secret parameters and without what is a credential.

    A query inside a query counts too: names are decoded once more, and values are cut at what would be delimiters.
    """
    pieces = _DELIMITER.split(text)
    for index, piece in enumerate(pieces):
        name, equals, _ = piece.replace("%3D", "=").replace("%3d", "=").partition("=")
        if equals and is_secret(unquote(unquote_plus(name))):
            pieces[index] = f"{name}={ERASED}"
    return _CREDENTIAL.sub(ERASED, "".join(pieces))


def decision_record(
    document: Mapping[str, Any],
    *,
    decision_id: str,
    path: str,
    result: object,
    revision: str,
    timestamp: str,
    evaluation_ns: int,
    failure: Refused | None = None,
) -> dict[str, Any]:
    """Return the record of one decision.

    Args:
        document: the input in our own shape.
        decision_id: names the record in the access record.
        path: the rule that was asked, such as `ztproxy/authz/decision`.
        result: what the engine answered; `UNDEFINED` where it answered nothing.
        revision: of policy and data.
        timestamp: RFC 3339.
        evaluation_ns: nanoseconds that the evaluation took.
        failure: why the request was refused, unless it was permitted.
    """
    erased: list[str] = []
    record: dict[str, Any] = {
        "type": "decision",
        "decision_id": decision_id,
        "path": path,
        "input": _without_secrets(document, erased),
        "bundles": {"policy": {"revision": revision}},
        "metrics": {"timer_rego_query_eval_ns": evaluation_ns},
        "timestamp": timestamp,
        "erased": erased,
    }
    if result is not UNDEFINED:
        # Headers that policy sets may carry a credential for the upstream, or a cookie.
        record["result"] = _value(result, erased, "/result")
    if failure is not None:
        record["error"] = {"code": failure.row.code, "message": failure.detail}
    return record


def _without_secrets(document: Mapping[str, Any], erased: list[str]) -> dict[str, Any]:
    out = dict(document)
    request = dict(document["request"])
    if "headers" in request:
        request["headers"] = _object(request["headers"], erased, "/input/request/headers")
    if request.get("query"):
        request["query"] = _query(request["query"], erased, "/input/request/query")
    out["request"] = request
    principal = document.get("principal")
    if principal and principal["claims"]:
        out["principal"] = {**principal, "claims": _object(principal["claims"], erased, "/input/principal/claims")}
    return out


def _query(text: str, erased: list[str], at: str) -> str:
    clean = erase_query(text)
    if clean != text:
        erased.append(at)
    return clean


def _object(value: Mapping[str, Any], erased: list[str], at: str) -> dict[str, Any]:
    """Return an object without what is secret by name; URLs in the rest lose their secret parameters."""
    out: dict[str, Any] = {}
    for name, item in value.items():
        if is_secret(name):
            erased.append(f"{at}/{_pointer(name)}")
        else:
            out[name] = _value(item, erased, f"{at}/{_pointer(name)}")
    return out


def _value(value: Any, erased: list[str], at: str) -> Any:
    if type(value) is dict:
        return _object(value, erased, at)
    if type(value) is list:
        return [_value(item, erased, f"{at}/{index}") for index, item in enumerate(value)]
    return _query(value, erased, at) if type(value) is str else value


def _pointer(name: str) -> str:
    """Return a name as a JSON pointer spells it (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


class DecisionLog:
    """Where decision records go.

    Args:
        writer: the sink, or None where decisions are not logged.
        required: a permit is issued only once its record is written.
    """

    __slots__ = ("_required", "_writer")

    def __init__(self, writer: Writer | None, *, required: bool) -> None:
        self._writer = writer
        self._required = required

    @property
    def required(self) -> bool:
        """Whether a permit waits for its record."""
        return self._required

    def write(self, record: dict[str, Any]) -> None:
        """Queue a record; one that is lost is counted."""
        if self._writer is not None:
            self._writer.write(record)

    async def write_through(self, record: dict[str, Any]) -> None:
        """Return once the record is written. Raise Refused(DECISION_LOG_UNAVAILABLE)."""
        if self._writer is None:
            raise Refused(DECISION_LOG_UNAVAILABLE, "decision_log.required needs a decision log")
        try:
            await self._writer.write_through(record)
        except RecordsUnavailable as unavailable:
            raise Refused(DECISION_LOG_UNAVAILABLE, str(unavailable)) from None
