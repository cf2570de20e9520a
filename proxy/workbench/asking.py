"""Cases as people have them at hand: words of a command line, a saved curl command, a JSON document."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.config.units import parse_duration
from proxy.workbench.case import NOBODY, SOURCE, Case, Who, parse_who, split_url


def _options(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONTINUED: Final = re.compile(r"\\\r?\n")
_CURL: Final = (("accept", "*/*"), ("user-agent", "curl"))
_DATA: Final = _options(
    "-d --data --data-raw --data-binary --data-ascii --data-urlencode --json -F --form --form-string -T --upload-file"
)
# What says nothing about the request: how curl connects, what it shows, where it writes.
_FLAGS: Final = _options(
    "-k --insecure -s --silent -S --show-error -L --location -i --include -v --verbose -f --fail --fail-with-body "
    "-g --globoff -N --no-buffer --http1.1 --http2 -# --progress-bar --path-as-is -O --remote-name -sS -fsS -sSL "
    "-fsSL"
)
_VALUES: Final = _options(
    "-o --output -E --cert --key --cacert --capath -m --max-time --connect-timeout --resolve --connect-to -w "
    "--write-out -x --proxy -c --cookie-jar --retry --unix-socket"
)


@dataclass(frozen=True, slots=True)
class Words:
    """What a command line says of who asks; None and empty: nothing.

    Args:
        who: `user:ana`, `workload:spiffe://…` or `anonymous`.
        groups: names, several separated by commas.
        claims: `name=value`, the value as JSON, or as text where it is none.
        issuer, email, device, workload, acr: as of `case.Who`.
        age: of the sign-in, such as `10m`.
        amr: methods, several separated by commas.
    """

    who: str | None = None
    groups: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    issuer: str | None = None
    email: str | None = None
    device: str | None = None
    workload: str | None = None
    age: str | None = None
    amr: tuple[str, ...] = ()
    acr: str | None = None

    def read(self) -> Who:
        """Return who is meant. Raise ValueError with the rule that a word breaks."""
        who = NOBODY if self.who is None else parse_who(self.who)
        groups, amr = _listed(self.groups), _listed(self.amr)
        claims = dict(map(_claim, self.claims))
        about = {"groups": groups, "claim": claims, "issuer": self.issuer, "email": self.email, "age": self.age,
                 "amr": amr, "acr": self.acr}  # fmt: skip
        if who.user is None and (said := next((name for name, value in about.items() if value), None)):
            raise ValueError(f"--{said} is about a user: say who it is (--as user:NAME)")
        return replace(
            who,
            email=self.email or who.email,
            groups=groups,
            claims=claims,
            issuer=self.issuer,
            age=None if self.age is None else parse_duration(self.age),
            amr=amr,
            acr=self.acr or "",
            workload=self.workload or who.workload,
            device=self.device,
        )


def _listed(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(item.strip() for word in words for item in word.split(",") if item.strip())


def _claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} must be NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_header(text: str) -> tuple[str, str]:
    """Return the field that `Name: value` says. Raise ValueError."""
    name, colon, value = text.partition(":")
    if not name.strip() or not colon:
        raise ValueError(f"{text!r} must be a header field, NAME: VALUE")
    return name.strip(), value.strip()


def read_time(text: str) -> float:
    """Return POSIX seconds from RFC 3339, such as `2026-11-24T09:30:00Z`. Raise ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{text!r} must be a time with its zone, such as 2026-11-24T09:30:00Z")
    return moment.timestamp()


def read_request(words: list[str], headers: Iterable[str], source: str | None, time: str | None) -> Case:
    """Return the case of `METHOD URL`, or of a URL alone, which is fetched. Raise ValueError."""
    if len(words) not in (1, 2):
        raise ValueError("a request is METHOD URL, such as GET https://wiki.example.org/")
    method, url = words if len(words) == 2 else ["GET", *words]
    split_url(url)
    return Case(
        method=method,
        url=url,
        headers=tuple(map(read_header, headers)),
        source=source or SOURCE,
        time=None if time is None else read_time(time),
    )


def read_document(text: str) -> dict[str, Any]:
    """Return the input document of a JSON text: the document, or what holds it as `input`, such as a decision record.

    Raises:
        ValueError: it is none.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg.lower()}") from None
    if isinstance(document, dict) and isinstance(document.get("input"), dict) and "request" not in document:
        document = document["input"]
    if not isinstance(document, dict):
        raise ValueError("an input document must be an object")  # noqa: TRY004 - a file is wrong, not a call
    return document


class _Curl:
    """What has been read of a curl command."""

    def __init__(self) -> None:
        self.method: str | None = None
        self.url: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.data: list[str] = []
        self.uploads = self.in_query = self.compressed = False

    def take(self, option: str, value: Callable[[], str]) -> None:
        """Read one word. Raise ValueError where it is not known what it would do to the request."""
        simple = {"-A": "user-agent", "--user-agent": "user-agent", "-e": "referer", "--referer": "referer",
                  "-b": "cookie", "--cookie": "cookie", "-r": "range", "--range": "range"}  # fmt: skip
        if option in ("-X", "--request"):
            self.method = value()
        elif option in ("-H", "--header"):
            self.headers.append(read_header(value()))
        elif option in simple:
            self.headers.append((simple[option], value()))
        elif option in ("-I", "--head"):
            self.method = self.method or "HEAD"
        elif option in ("-G", "--get"):
            self.in_query = True
        elif option == "--oauth2-bearer":
            self.headers.append(("authorization", f"Bearer {value()}"))
        elif option in ("-u", "--user"):
            self.headers.append(("authorization", "Basic"))
            value()
        elif option in _DATA:
            self.uploads = self.uploads or option in ("-T", "--upload-file")
            self.data.append(value())
            if option == "--json":
                self.headers += [("content-type", "application/json"), ("accept", "application/json")]
        elif option == "--compressed":
            self.compressed = True
        elif option == "--url" or not option.startswith("-"):
            if self.url is not None:
                raise ValueError("the command must be of one request")
            self.url = option if option != "--url" else value()
        elif option in _VALUES:
            value()
        elif option not in _FLAGS:
            raise ValueError(f"curl's {option} is not known here: leave it out, if it does not change the request")

    def case(self) -> Case:
        if self.url is None:
            raise ValueError("the command must name a URL")
        url = self.url if "://" in self.url else f"http://{self.url}"
        if self.in_query and self.data:
            url += ("&" if urlsplit(url).query else "?") + "&".join(self.data)
        has_body = bool(self.data) and not self.in_query
        named = {name.lower() for name, _ in self.headers}
        usual = [*_CURL, ("accept-encoding", "deflate, gzip")] if self.compressed else _CURL
        if has_body and not self.uploads:
            usual = [*usual, ("content-type", "application/x-www-form-urlencoded")]
        split_url(url)
        return Case(
            method=self.method or ("PUT" if self.uploads else "POST" if has_body else "GET"),
            url=url,
            headers=(*self.headers, *((name, value) for name, value in usual if name not in named)),
            has_body=has_body,
        )


def read_curl(text: str) -> Case:
    """Return the case of a curl command, as a shell or a browser's developer tools write it.

    Raises:
        ValueError: it is none, or has an option of which it is not known what it does to the request.
    """
    if "$'" in text:
        raise ValueError("quotes of the form $'…' are not read: write the command with plain quotes")
    try:
        words = shlex.split(_CONTINUED.sub(" ", text).strip().removeprefix("$ "), comments=True)
    except ValueError as error:
        raise ValueError(f"the command cannot be read: {str(error).lower()}") from None
    if not words or words[0].rpartition("/")[2] != "curl":
        raise ValueError("the command must begin with curl")
    curl, rest = _Curl(), iter(words[1:])
    for word in rest:
        option, equals, attached = word.partition("=") if word.startswith("--") else (word, "", "")
        if len(word) > 2 and word[:2] in ("-X", "-H", "-d", "-b", "-A", "-e", "-u", "-o"):
            option, equals, attached = word[:2], "=", word[2:]

        def value(option: str = option, equals: str = equals, attached: str = attached) -> str:
            following = attached if equals else next(rest, None)
            if following is None:
                raise ValueError(f"curl's {option} must have a value")
            return following

        curl.take(option, value)
    return curl.case()
