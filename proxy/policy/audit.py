"""What must not be in a decision record: it knows which names are secret, and what a credential looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

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
# Our own name for how somebody signed in, which is no credential.
_NO_SECRETS: Final = frozenset({"/input/principal/authentication"})
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


def without_secrets(value: Any, erased: list[str], at: str) -> Any:
    """Return a JSON value without what is secret by name or by form.

    Args:
        erased: gets a pointer (RFC 6901) to everything that was left out or changed.
        at: the pointer to the value.
    """
    return _value(value, erased, at)


def _query(text: str, erased: list[str], at: str) -> str:
    clean = erase_query(text)
    if clean != text:
        erased.append(at)
    return clean


def _object(value: Mapping[str, Any], erased: list[str], at: str) -> dict[str, Any]:
    """Return an object without what is secret by name; URLs in the rest lose their secret parameters."""
    out: dict[str, Any] = {}
    for name, item in value.items():
        if is_secret(name) and f"{at}/{name}" not in _NO_SECRETS:
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
