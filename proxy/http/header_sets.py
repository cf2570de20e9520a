"""The header sets by which an upstream is told who is calling: ours, and those of gateways that it may know already.

It is given the words and knows no identity. Every name here is one that `http/headers` removes from what clients send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.http.forwarding import identity_fields
from proxy.http.message import Headers

# Every field of a set. Those that hold an assertion are written where there is one.
NAMES: Final[Mapping[str, tuple[bytes, ...]]] = {
    "ztproxy": (b"x-ztproxy-subject", b"x-ztproxy-email", b"x-ztproxy-groups", b"x-ztproxy-assertion"),
    "oauth2-proxy": (
        b"x-forwarded-user", b"x-forwarded-email", b"x-forwarded-groups", b"x-forwarded-preferred-username",
    ),
    "authelia": (b"remote-user", b"remote-email", b"remote-groups", b"remote-name"),
    "pomerium": (b"x-pomerium-jwt-assertion",),
}  # fmt: skip
ASSERTED: Final[Mapping[str, bytes]] = {"ztproxy": b"x-ztproxy-assertion", "pomerium": b"x-pomerium-jwt-assertion"}


@dataclass(frozen=True, slots=True)
class Words:
    """What the sets tell of a caller; `name` and `username` are the user's own words, and nobody vouches for them."""

    subject: str
    email: str
    groups: Sequence[str]
    name: str = ""
    username: str = ""


def set_fields(name: str, words: Words) -> Headers:
    """Return the unsigned fields of a set; none for a caller without a subject, which is nobody.

    Raises:
        Refused: INPUT_REFUSED, as of `identity_fields`.
    """
    if name == "ztproxy":
        return identity_fields(words.subject, words.email, words.groups)
    groups = ",".join(group for group in words.groups if "," not in group and _plain(group))
    by_set = {
        "oauth2-proxy": (words.subject, words.email, groups, words.username),
        "authelia": (words.subject, words.email, groups, words.name),
    }
    if name not in by_set or not _plain(words.subject):
        return []
    pairs = zip(NAMES[name], by_set[name], strict=True)
    return [(field, value.encode()) for field, value in pairs if _plain(value)]


def _plain(value: str) -> bool:
    """Tell whether a value can be a field's as it is: others' fields have no escapes, so it is that or not told."""
    printable = all(character.isprintable() for character in value)  # neither controls nor lone surrogates are
    return bool(value) and printable and not value[0].isspace() and not value[-1].isspace()
