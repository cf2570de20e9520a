"""Answers of our own: what a refused client sees, and redirects.

A refusal is problem+json (RFC 9457) or a plain page, by Accept. It says the catalogue's public sentence or the
policy's, the code, and the request ID to quote; the detail never. It knows no clock: the caller adds Date.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from proxy.errors import Refused
from proxy.http.h1 import REASONS
from proxy.http.message import Headers

_STYLE = (
    ":root{color-scheme:light dark;--ground:#f3f5fa;--card:#fff;--ink:#141a28;--soft:#566074;--line:#dde2ec}"
    "@media(prefers-color-scheme:dark)"
    "{:root{--ground:#0e1219;--card:#171c26;--ink:#eef1f7;--soft:#a3adbf;--line:#2b3342}}"
    "*{box-sizing:border-box}"
    "body{margin:0;padding:12vh 1rem 2rem;background:var(--ground);color:var(--ink);"
    "font:1rem/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',Arial,sans-serif;"
    "overflow-wrap:anywhere}"
    "main{max-width:32rem;margin:0 auto;padding:clamp(1.5rem,6vw,2.5rem);border:1px solid var(--line);"
    "border-radius:1rem;background:var(--card);box-shadow:0 12px 32px -12px rgb(20 26 40/16%)}"
    "h1{margin:0;font-size:1.6rem;line-height:1.25;letter-spacing:-.015em}p{margin:.6rem 0 0}"
    "dl{display:grid;grid-template-columns:auto 1fr;align-items:baseline;gap:.5rem 1.25rem;margin:1.5rem 0 0;"
    "padding:1rem 1.15rem;border-radius:.7rem;background:var(--ground);font-size:.925rem}"
    "p,dt{color:var(--soft)}dd{margin:0}"
    "code{font:.93em ui-monospace,Menlo,Consolas,'Liberation Mono',monospace}"
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {title} · {brand}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{sentence}</h1>
<p>{status} {title}</p>
<dl>
<dt>Code</dt><dd><code>{code}</code></dd>
<dt>Reference</dt><dd><code>{request_id}</code></dd>
</dl>
</main>
</body>
</html>
"""
_CSP = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
).encode()

_RANGE = re.compile(r"[ \t]*([a-z0-9!#$&^_.+*-]+/[a-z0-9!#$&^_.+*-]+)[ \t]*((?:;[^;,]*)*)", re.ASCII)
_Q = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)
_LOCATION = re.compile(r"[!-~]+", re.ASCII)
_WITHOUT_CONTENT = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer but for what belongs to the message: Date, Connection and Content-Length are the caller's to add."""

    status: int
    reason: bytes
    headers: Headers
    body: bytes


def refusal(refused: Refused, *, request_id: str, accept: bytes, brand: str = "ztproxy") -> Answer:
    """Return what the client of a refused request sees.

    Args:
        refused: why.
        request_id: the reference to quote.
        accept: the request's Accept field, or nothing.
        brand: whose page it is.
    """
    headers = [(name, value) for name, value in refused.headers]
    names = {name for name, _ in headers}
    if refused.body is not None:
        body = refused.body
        if b"content-type" not in names:
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
    elif _prefers_html(accept):
        body = _page(refused, request_id, brand)
        headers += [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", _CSP)]
    else:
        body = _problem(refused, request_id)
        headers.append((b"content-type", b"application/problem+json"))
    headers += [
        *_told(refused, names),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
    return _answer(refused.status, headers, body, request_id)


def refusal_fields(refused: Refused) -> tuple[int, bytes, Headers]:
    """Return status, reason phrase and fields of a refusal that has a page of its own."""
    names = {name for name, _ in refused.headers}
    return refused.status, _title(refused.status).encode(), [*refused.headers, *_told(refused, names)]


def redirect(status: int, location: str, request_id: str) -> Answer:
    """Return a redirect.

    Args:
        status: 301, 302, 303, 307 or 308.
        location: an absolute URL or a path, already encoded.

    Raises:
        ValueError: the location is not visible ASCII.
    """
    if not _LOCATION.fullmatch(location):
        raise ValueError("a location must be visible ascii")
    return _answer(status, [(b"location", location.encode())], b"", request_id)


def key_set(body: bytes, method: bytes, request_id: str) -> Answer:
    """Return the answer to whoever asks for a key set; it is public, and may be kept for five minutes."""
    fields = [(b"x-content-type-options", b"nosniff"), (b"x-request-id", request_id.encode())]
    if method not in (b"GET", b"HEAD"):
        return Answer(405, b"Method Not Allowed", [(b"allow", b"GET, HEAD"), *fields], b"")
    fields += [(b"content-type", b"application/jwk-set+json"), (b"cache-control", b"public, max-age=300")]
    return Answer(200, b"OK", fields, body)


def _told(refused: Refused, names: set[bytes]) -> Headers:
    """Return the fields that say why, and when to try again."""
    row, fields = refused.row, []
    if refused.status == 401 and b"www-authenticate" not in names:
        fields.append((b"www-authenticate", b"Bearer"))  # a 401 must have a challenge (RFC 9110 section 15.5.2)
    if row.retry_after is not None and b"retry-after" not in names:
        fields.append((b"retry-after", b"%d" % row.retry_after))
    fields.append((b"proxy-status", f'ztproxy; error={row.proxy_status}; details="{row.code}"'.encode()))
    return fields


def _answer(status: int, headers: Headers, body: bytes, request_id: str) -> Answer:
    headers = [*headers, (b"cache-control", b"no-store"), (b"x-request-id", request_id.encode())]
    return Answer(status, _title(status).encode(), headers, b"" if status in _WITHOUT_CONTENT else body)


def _title(status: int) -> str:
    return REASONS.get(status, b"Refused").decode()


def _sentence(refused: Refused) -> str:
    return refused.public_reason or refused.row.public


def _problem(refused: Refused, request_id: str) -> bytes:
    # The code tells the problem; a URL of a type would promise a page (RFC 9457 section 4.2.1).
    members = {
        "type": "about:blank",
        "title": _title(refused.status),
        "status": refused.status,
        "detail": _sentence(refused),
        "code": refused.row.code,
        "request_id": request_id,
    }
    return json.dumps(members).encode() + b"\n"


def _page(refused: Refused, request_id: str, brand: str) -> bytes:
    return _PAGE.format(
        status=refused.status,
        title=escape(_title(refused.status)),
        brand=escape(brand),
        style=_STYLE,
        sentence=escape(_sentence(refused)),
        request_id=escape(request_id),
        code=escape(refused.row.code),
    ).encode("utf-8", "replace")


def _prefers_html(accept: bytes) -> bool:
    """Tell whether text/html is preferred to JSON (RFC 9110 section 12.5.1); a tie is JSON."""
    weights: dict[str, float] = {}
    for element in accept[:1024].decode("latin-1").lower().split(",")[:32]:
        match = _RANGE.fullmatch(element.rstrip(" \t"))
        if match is not None:
            weights[match[1]] = _weight(match[2])
    anything = weights.get("*/*", 0.0)
    html = weights.get("text/html", weights.get("text/*", anything))
    json_ = max(
        weights.get(name, weights.get("application/*", anything))
        for name in ("application/problem+json", "application/json")
    )
    return html > json_


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip(" \t") == "q":
            return float(value.strip(" \t")) if _Q.fullmatch(value.strip(" \t")) else 0.0
    return 1.0
