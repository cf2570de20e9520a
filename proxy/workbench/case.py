"""A case: one request that somebody might make, and who would make it; a question to the desk.

Values alone, and how they are read of the words of a command line. Nothing here knows a config, so nothing here says
whether such a person exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

Method = Literal["bearer", "session", "service_token", "assertion"]

METHODS: Final[tuple[Method, ...]] = ("bearer", "session", "service_token", "assertion")
SOURCE: Final = "192.0.2.1"  # of nobody's network (RFC 5737)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: a user, the client certificate of the connection, both, or nobody.

    Args:
        user: the user's subject (`sub`), or None: nobody has signed in.
        email: the verified address that the issuer tells, or empty.
        groups: the user's groups.
        claims: further claims; those that the rest of this value makes come on top of them.
        issuer: the name of the user's issuer in the config, or None: the only one that the route takes.
        method: how it is proven, or None: as the route reads it, a program by its token, a browser by its session.
        signed_in_at: POSIX seconds of the sign-in, or None.
        age: seconds since the sign-in, where `signed_in_at` is None; None: nobody knows.
        amr, acr: how the user signed in (RFC 8176), and the context class.
        workload: the SPIFFE ID on the connection, or None.
        device: the device on the connection, such as `mdm:laptop-7`, or None.
    """

    user: str | None = None
    email: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    issuer: str | None = None
    method: Method | None = None
    signed_in_at: float | None = None
    age: float | None = None
    amr: tuple[str, ...] = ()
    acr: str = ""
    workload: str | None = None
    device: str | None = None

    def __str__(self) -> str:
        """Return it as a person would say it."""
        parts = [] if self.user is None else [f"user:{self.user}"]
        parts += [f"groups {', '.join(self.groups)}"] if self.groups else []
        parts += [self.workload] if self.workload else []
        parts += [f"device {self.device}"] if self.device else []
        return ", ".join(parts) or "anonymous"


NOBODY: Final = Who()


@dataclass(frozen=True, slots=True)
class Case:
    """One request.

    Args:
        method: such as `GET`.
        url: whole, such as `https://wiki.example.org/x?y=z`; as it is written, for a client that repairs nothing.
        who: who makes it.
        headers: its fields, beyond Host; names in any case.
        source: the client's address.
        time: POSIX seconds, or None: now.
        has_body: whether a body follows.
        listener: the name of the listener that it comes to, or None: the first that has the URL's scheme and host.
    """

    method: str
    url: str
    who: Who = NOBODY
    headers: tuple[tuple[str, str], ...] = ()
    source: str = SOURCE
    time: float | None = None
    has_body: bool = False
    listener: str | None = None

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"{self.who}: {self.method} {self.url}"

    def says(self, name: str) -> bool:
        """Tell whether it has a header field; `name` is lower-case."""
        return any(given.lower() == name for given, _ in self.headers)


def parse_who(text: str) -> Who:
    """Return who is meant by `user:ana`, `user:ana@example.org`, `workload:spiffe://…`, a SPIFFE ID, or `anonymous`.

    An address is a subject and an e-mail address at once.

    Raises:
        ValueError: it is none of these.
    """
    kind, colon, name = text.partition(":")
    if text == "anonymous":
        return NOBODY
    if kind == "user" and name:
        return Who(user=name, email=name if "@" in name else "")
    if kind == "workload" and name.startswith("spiffe://"):
        return Who(workload=name)
    if kind == "spiffe" and colon:
        return Who(workload=text)
    raise ValueError(f"{text!r} must be user:NAME, workload:SPIFFE-ID or anonymous")


def split_url(url: str) -> tuple[str, str, str]:
    """Return scheme, authority and target of a URL, each as it is written, without the fragment, which no client sends.

    Raises:
        ValueError: it is no whole http or https URL.
    """
    scheme, separator, rest = url.partition("#")[0].partition("://")
    if not separator or scheme not in ("http", "https"):
        raise ValueError(f"{url!r} must be a whole URL, such as https://wiki.example.org/")
    end = next((at for at, character in enumerate(rest) if character in "/?"), len(rest))
    authority, target = rest[:end], rest[end:]
    if not authority:
        raise ValueError(f"{url!r} must name a host")
    return scheme, authority, target if target.startswith("/") else f"/{target}"


def host_of(url: str) -> str:
    """Return the host of a URL that `split_url` takes, in lower case and without its port."""
    return (urlsplit(url).hostname or "").lower()
