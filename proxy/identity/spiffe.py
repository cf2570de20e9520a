"""SPIFFE IDs, parsed strictly, and the patterns that match them.

Knows the grammar of the SPIFFE-ID standard (sections 2.1 to 2.3) and nothing of certificates. It is a parser of our own
because a URI library repairs what must be refused: upper case, percent-encoding, a port, a trailing newline. Two
spellings of one identity would be two answers to one policy question, so there is exactly one spelling of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "spiffe://"
_LONGEST_ID = 2048
_LONGEST_TRUST_DOMAIN = 255
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_WILDCARD = "/*"


@dataclass(frozen=True, slots=True)
class SpiffeID:
    """A SPIFFE ID: a trust domain, and a path that begins with `/` or is empty (the trust domain itself)."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A SPIFFE ID, or (`below`) one or more whole path segments below one."""

    id: SpiffeID
    below: bool

    def match(self, candidate: SpiffeID) -> bool:
        """Return whether the pattern names this ID; trust domains are never matched in part."""
        if candidate.trust_domain != self.id.trust_domain:
            return False
        if not self.below:
            return candidate.path == self.id.path
        return candidate.path.startswith(self.id.path + "/")

    def __str__(self) -> str:
        return f"{self.id}{_WILDCARD if self.below else ''}"


def parse_trust_domain(text: str) -> str:
    """Return the trust domain's name unchanged.

    Raises:
        ValueError: it is not a name of 1 to 255 characters out of a-z, 0-9, `.`, `-` and `_` (SPIFFE-ID 2.1, 2.3).
    """
    if not text:
        raise ValueError("trust domain must not be empty")
    if len(text) > _LONGEST_TRUST_DOMAIN:
        raise ValueError("trust domain must not be longer than 255 bytes")
    if not _TRUST_DOMAIN.fullmatch(text):
        raise ValueError("trust domain must hold only lower-case letters, digits, dots, dashes and underscores")
    return text


def parse_spiffe_id(text: str) -> SpiffeID:
    """Return the SPIFFE ID that a text is, with or without a path.

    Raises:
        ValueError: it breaks a rule of SPIFFE-ID section 2; the message states the rule.
    """
    if len(text) > _LONGEST_ID:
        raise ValueError("spiffe id must not be longer than 2048 bytes")
    if not text.startswith(SCHEME):
        raise ValueError("spiffe id must begin with spiffe://")
    trust_domain, slash, path = text[len(SCHEME) :].partition("/")
    parse_trust_domain(trust_domain)
    if slash:
        _check_segments(path)
    return SpiffeID(trust_domain, slash + path)


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that a text is: a SPIFFE ID, or one followed by `/*` for one or more whole segments below it.

    Raises:
        ValueError: it is neither; a `*` anywhere else is refused, for it would match parts of segments.
    """
    below = text.endswith(_WILDCARD)
    return Pattern(parse_spiffe_id(text[: -len(_WILDCARD)] if below else text), below)


def _check_segments(path: str) -> None:
    for segment in path.split("/"):
        if not segment:
            raise ValueError("spiffe id path must not hold empty segments or end with a slash")
        if segment in {".", ".."}:
            raise ValueError("spiffe id path must not hold dot segments")
        if not _SEGMENT.fullmatch(segment):
            raise ValueError("spiffe id path segments must hold only letters, digits, dots, dashes and underscores")
