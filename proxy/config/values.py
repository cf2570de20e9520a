"""What single values of the config look like, each with its rule in words and its pattern for editors.

A validator here raises ValueError with the rule; `config/explain` shows it as it is. Nothing here looks at a disk.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from proxy.config import address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TEXT_RULE: Final = "must be text"


def _text(value: object) -> str:
    if isinstance(value, bool | int | float):
        raise ValueError(f"{TEXT_RULE}: put it in quotes")  # noqa: TRY004 - pydantic turns ValueError into a mistake
    if not isinstance(value, str):
        raise ValueError(TEXT_RULE)  # noqa: TRY004
    if not value:
        raise ValueError("must not be empty")
    return value


class _Like:
    """Text that a pattern matches whole: one rule for the loader and, as `pattern`, for editors."""

    def __init__(self, pattern: str, rule: str) -> None:
        self._pattern = pattern
        self._compiled = re.compile(pattern, re.ASCII)
        self._rule = rule

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._match)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^(?:{self._pattern})$"}

    def _match(self, value: object) -> str:
        text = _text(value)
        if not self._compiled.fullmatch(text):
            raise ValueError(self._rule)
        return text


Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": "string", "minLength": 1})]
AnyText = Annotated[str, BeforeValidator(lambda value: value if value == "" else _text(value))]

Name = Annotated[
    str,
    _Like(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        "a name must be 1 to 63 letters, digits, `_`, `.` or `-`, and begin with a letter or digit",
    ),
]
TrustDomain = Annotated[
    str, _Like(r"[a-z0-9._-]{1,255}", "must be a trust domain: lower-case letters, digits, `.`, `-` and `_`")
]
WorkloadPattern = Annotated[
    str,
    _Like(
        r"(?!.{2049})spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*(?:/\*)?",
        "must be a SPIFFE ID, or one that ends in /* for whole segments below, such as spiffe://example.org/gateway/*",
    ),
]
DecisionPath = Annotated[
    str,
    _Like(
        r"[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*",
        "must be the path of a rule, package first, such as ztproxy/authz/decision",
    ),
]
TimeOfDay = Annotated[str, _Like(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", "must be a time of day such as 08:00")]
EndOfDay = Annotated[
    str, _Like(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00", "must be a time of day such as 18:00, 24:00 at most")
]
HeaderName = Annotated[str, _Like(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "must be a header name: letters, digits and -")]
HeaderValue = Annotated[
    str,
    _Like(
        r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", "must be a header value: visible ASCII without spaces at its ends"
    ),
]


def _network(value: object) -> Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(_text(value), strict=True)
    except ValueError:
        raise ValueError("must be a network in CIDR form without host bits, such as 10.0.0.0/8") from None


CIDR = Annotated[Network, BeforeValidator(_network), WithJsonSchema({"type": "string"})]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


NonEmpty = Field(min_length=1)
Strings = Annotated[tuple[Text, ...], NonEmpty]


def _host(value: object) -> str:
    text = _text(value).lower()
    if text == "*":
        return text
    if ":" in text and not text.startswith("["):
        raise ValueError("must be a host without a port; an IPv6 address stands in brackets")
    wildcard = text.startswith("*.")
    try:
        host = address.parse_host(text.removeprefix("*."))
    except ValueError as error:
        raise ValueError(f"{error}: a host, *.example.org for one label more, or * for any") from None
    if not wildcard:
        return f"[{host}]" if ":" in host else host
    if ":" in host or host.rpartition(".")[2].isdigit():
        raise ValueError("a wildcard must stand before a name, not before an address")
    return f"*.{host}"


def _path_pattern(value: object) -> str:
    text = _text(value)
    if not text.startswith("/"):
        raise ValueError("a path must begin with /")
    if "*" in text:
        raise ValueError("a path must not hold a wildcard: it covers all that is below it")
    if re.search(r"[?#\\\x00-\x1f\x7f]", text):
        raise ValueError("a path must not hold a query, a fragment, a backslash or control characters")
    if "%" in text:
        raise ValueError("a path must be written decoded, without %")
    segments = text[1:].removesuffix("/").split("/") if text != "/" else []
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("a path must not hold dot segments or empty segments")
    return text


def _strip_prefix(value: object) -> str:
    """Read a prefix that is cut from raw paths, so it may hold only what stands in a raw path as it is (RFC 3986)."""
    text = _path_pattern(value)
    if not re.fullmatch(r"[A-Za-z0-9._~!$&'()+,;=:@/-]+", text, re.ASCII):
        raise ValueError("must hold only characters that a URL's path holds unencoded")
    return text


_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,4})?", re.ASCII)


def _url(value: object) -> str:
    text = _text(value)
    address.parse_url(text)
    return text


def _endpoint(value: object) -> str:
    text = _text(value)
    if address.parse_url(text).path not in ("", "/"):
        raise ValueError("an endpoint must be scheme, host and port alone, without a path or query")
    return text.removesuffix("/")


def _address(value: object) -> str:
    text = _text(value)
    address.parse_address(text)
    return text


_TEXT_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})
HostPattern = Annotated[str, BeforeValidator(_host), _TEXT_SCHEMA]
HostPatterns = Annotated[
    tuple[HostPattern, ...],
    NonEmpty,
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
PathPattern = Annotated[str, BeforeValidator(_path_pattern), WithJsonSchema({"type": "string", "pattern": "^/"})]
StripPrefix = Annotated[str, BeforeValidator(_strip_prefix), WithJsonSchema({"type": "string", "pattern": "^/"})]


def _origin(value: object) -> str:
    text = _url(value)
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin: scheme, lower-case host and perhaps a port, without a path")
    return text


WebOrigin = Annotated[str, BeforeValidator(_origin), WithJsonSchema({"type": "string", "pattern": "^https?://[^/]+$"})]
WebURL = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
EndpointURL = Annotated[str, BeforeValidator(_endpoint), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
SocketAddress = Annotated[str, BeforeValidator(_address), _TEXT_SCHEMA]


def _absolute(text: str, info: ValidationInfo) -> str:
    """Make a path of the file absolute: it is relative to the file, not to where the process was started."""
    base = (info.context or {}).get("base")
    return str(Path(base, text)) if base is not None else text


def _file(value: object, info: ValidationInfo) -> Path:
    return value if isinstance(value, Path) else Path(_absolute(_text(value), info))


def _secret(value: object, info: ValidationInfo) -> str:
    text = _text(value)
    if not text.startswith("env:"):
        return _absolute(text, info)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text[4:], re.ASCII):
        raise ValueError("must be a file, or env: and the name of an environment variable")
    return text


def _sink(value: object, info: ValidationInfo) -> str:
    text = _text(value)
    return text if text in ("stdout", "off") else _absolute(text, info)


FilePath = Annotated[Path, BeforeValidator(_file), _TEXT_SCHEMA]
# A `*_file` secret is a path, or `env:NAME` for the content of an environment variable.
SecretFile = Annotated[str, BeforeValidator(_secret), _TEXT_SCHEMA]
Sink = Annotated[str, BeforeValidator(_sink), _TEXT_SCHEMA]


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004
    return value


def _yes(value: object) -> bool:
    if value is not True:
        raise ValueError("must be true, or be left out")
    return True


def _claim(value: object) -> str | int | bool:
    if not isinstance(value, str | int | bool):
        raise ValueError("must be text, a whole number, true or false")  # noqa: TRY004
    return value


Flag = Annotated[bool, PlainValidator(_yes_or_no), WithJsonSchema({"type": "boolean"})]
Yes = Annotated[bool, PlainValidator(_yes), WithJsonSchema({"const": True})]
ClaimValue = Annotated[
    str | int | bool, PlainValidator(_claim), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]


def _version(value: object) -> int:
    if value != 1 or not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be 1")
    return 1


Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"const": 1})]
