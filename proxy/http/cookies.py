"""Cookies of ours: read strictly out of a request, spelled for an answer.

A handle, a nonce or a sealed state counts only where its cookie is there exactly once: a browser cannot hold two
`__Host-` cookies of one name, so two of them come from something else, and no reader agrees with the next one about
which counts (RFC 6265bis section 5.7). It must not know what the values mean.
"""

from __future__ import annotations

from proxy.http.message import Headers

HANDLE = b"__Host-ztproxy"
NONCE = b"__Host-ztproxy-nonce"
PROVIDER = b"__Host-ztproxy-provider"
BEGUN = b"__Host-ztproxy-begun-"  # and eight hexadecimal digits

HANDLE_LENGTH = 43  # 256 bits in base64url without padding
_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_HANDLE_IS = HANDLE + b"="
_VALUE = _BASE64URL + b"."
_ATTRIBUTES = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


def handle_of(headers: Headers) -> bytes | None:
    """Return the session handle that a request carries, or None; it is asked of every request.

    Names are compared byte for byte: `__host-ztproxy`, `__%48ost-ztproxy` and `__Host-ztproxy ` are not ours
    (CVE-2020-8184), though `headers.clean_request` keeps them from the upstream.
    """
    found = None
    for name, value in headers:
        if name == b"cookie" and _HANDLE_IS in value:
            for pair in value.split(b";"):
                if (cookie := pair.strip(b" \t")).startswith(_HANDLE_IS):
                    if found is not None:
                        return None
                    found = cookie[len(_HANDLE_IS) :]
    return found if found is not None and is_handle(found) else None


def is_handle(value: bytes) -> bool:
    """Tell whether a value has the form of a handle: 43 characters of base64url."""
    return len(value) == HANDLE_LENGTH and not value.translate(None, _BASE64URL)


def cookies_of(headers: Headers) -> dict[bytes, bytes]:
    """Return the cookies of ours that a request carries, those that are there twice or hold other bytes left out."""
    found: dict[bytes, bytes] = {}
    twice: set[bytes] = set()
    for field, value in headers:
        if field != b"cookie":
            continue
        for pair in value.split(b";"):
            name, _, content = pair.strip(b" \t").partition(b"=")
            if name.startswith(HANDLE):
                if name in found:
                    twice.add(name)
                found[name] = content
    return {name: value for name, value in found.items() if name not in twice and not value.translate(None, _VALUE)}


def set_cookie(name: bytes, value: bytes, max_age: int) -> tuple[bytes, bytes]:
    """Return the field that sets a cookie of ours for this host alone.

    Args:
        name: with its `__Host-` prefix.
        value: base64url and dots.
        max_age: seconds.

    Raises:
        ValueError: the name or the value would be another cookie than is meant.
    """
    if not name.startswith(b"__Host-") or name.translate(None, _VALUE) or value.translate(None, _VALUE):
        raise ValueError("a cookie must be a __Host- one of base64url and dots")
    return b"set-cookie", b"%b=%b; Max-Age=%d%b" % (name, value, max(max_age, 0), _ATTRIBUTES)


def clear_cookie(name: bytes) -> tuple[bytes, bytes]:
    """Return the field that makes a browser forget a cookie of ours."""
    return set_cookie(name, b"", 0)
