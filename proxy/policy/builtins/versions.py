"""`semver.*` and `uuid.parse`: names that have parts."""

from __future__ import annotations

import re
from typing import Any, Final

from proxy.policy.builtins.operands import INT64, text

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PARTS: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION: Final = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PARTS}))?(?:\+{_PARTS})?", re.ASCII)
_LEADING_ZERO: Final = re.compile(r"0[0-9]+", re.ASCII)
_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)

_Version = tuple[tuple[int, ...], list[str]]


def semver_is_valid(value: object) -> bool:
    """Tell whether a value is a version as SemVer 2.0.0 has it, with or without a v in front."""
    return type(value) is str and _read_version(value) is not None


def semver_compare(first: object, second: object) -> int:
    """Return -1, 0 or 1: which of two versions comes first, build metadata aside."""
    versions = [_read_version(text(value)) for value in (first, second)]
    left, right = versions
    if left is None or right is None:
        raise ValueError("operands must be versions as SemVer has them")
    if left[0] != right[0]:
        return 1 if left[0] > right[0] else -1
    if left[1] == right[1]:
        return 0
    if not left[1] or not right[1]:  # a release comes after its candidates
        return 1 if right[1] else -1
    return 1 if [*map(_rank, left[1])] > [*map(_rank, right[1])] else -1


def _rank(identifier: str) -> tuple[int, int, str]:
    return (0, int(identifier), "") if identifier.isdecimal() else (1, 0, identifier)


def _read_version(value: str) -> _Version | None:
    match = _VERSION.fullmatch(value)
    if match is None or any(len(number) > 19 or int(number) not in INT64 for number in match.groups()[:3]):
        return None
    candidate = match[4].split(".") if match[4] else []
    if any(map(_LEADING_ZERO.fullmatch, candidate)):
        return None
    if any(part.isdecimal() and len(part) > 18 for part in candidate):
        raise ValueError("operand must have numbers below 10^18 in its pre-release")
    return tuple(int(number) for number in match.groups()[:3]), candidate


_GREGORIAN: Final = 0x01B21DD213814000  # 100 ns from 1582-10-15 to 1970
_DOMAINS: Final = ("Person", "Group", "Org")


def uuid_parse(value: object) -> dict[str, Any]:
    """Return version and variant of a UUID, and of versions 1 and 2 what they tell. OPA has the rest undefined."""
    octets = bytes.fromhex(_digits(text(value)))
    version = octets[6] >> 4
    out: dict[str, Any] = {"version": version, "variant": _variant(octets[8])}
    if version in (1, 2):
        moment = int.from_bytes(octets[6:8]) & 0xFFF
        moment = (moment << 48 | int.from_bytes(octets[4:6]) << 32 | int.from_bytes(octets[:4])) - _GREGORIAN
        if moment * 100 not in INT64:
            raise ValueError("operand must have a time within 292 years of 1970")
        out["time"] = moment * 100
        out["nodeid"] = octets[10:].hex("-")
        out["macvariables"] = ("local" if octets[10] & 2 else "global") + (
            ":multicast" if octets[10] & 1 else ":unicast"
        )
        out["clocksequence"] = int.from_bytes(octets[8:10]) & 0x3FFF
    if version == 2:
        out["id"] = int.from_bytes(octets[:4])
        out["domain"] = _DOMAINS[octets[9]] if octets[9] < len(_DOMAINS) else f"Domain{octets[9]}"
    return out


def _digits(whole: str) -> str:
    if len(whole) == 45 and whole[:9].lower() == "urn:uuid:":
        whole = whole[9:]
    elif len(whole) == 38 and whole[0] == "{" and whole[-1] == "}":
        whole = whole[1:-1]
    if len(whole) == 36 and all(whole[at] == "-" for at in (8, 13, 18, 23)):
        whole = whole[:8] + whole[9:13] + whole[14:18] + whole[19:23] + whole[24:]
    if not _HEX.fullmatch(whole):
        raise ValueError("operand must be a UUID")
    return whole


def _variant(octet: int) -> str:
    if octet & 0xC0 == 0x80:
        return "RFC4122"
    if octet & 0xE0 == 0xC0:
        return "Microsoft"
    return "Future" if octet & 0xE0 == 0xE0 else "Reserved"
