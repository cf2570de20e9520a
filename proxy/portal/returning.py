"""Where a person comes back to after signing in: an address of ours, or nowhere.

A return address is never taken as text from a request. It is made of the target that was asked for, or, where a link
brings one (`?return=`), read by the rules that every request's target is read by (`http/target`): what no request
could ask for, nobody is sent to. In between it lies sealed. It must not know sessions or providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.errors import TARGET_REFUSED, Refused
from proxy.http.message import Target
from proxy.http.target import parse_target
from proxy.portal.request import PREFIX, Place, Places, Stopped

HTTPS = 443
COMMAND_LINE = "command-line"  # the page of an application host on which a person lets a program act for them
_FOLDER = PREFIX.strip("/")
_LONGEST_PATH = 1920  # with its query: the sealed state must fit into one cookie of 4096 bytes
_LONGEST_TEXT = 8192
_PAGES = (b"/", b"/.ztproxy/", b"/.ztproxy/who")  # of the sign-in host; no step of signing in or out


@dataclass(frozen=True, slots=True)
class Return:
    """An address to come back to; always https.

    Args:
        authority: host, and port where it is not 443; lower-case.
        path: path and query as a request line spells them.
    """

    authority: str
    path: str

    @property
    def url(self) -> str:
        """The address, of visible ASCII alone."""
        return f"https://{self.authority}{self.path}"


def authority_of(host: str, port: int | None) -> str:
    """Return host and port as an https URL spells them."""
    return host if port in (None, HTTPS) else f"{host}:{port}"


def return_to(target: Target) -> Return:
    """Return the address that a request asked for: exactly, or as much of it as a cookie can hold.

    An address that is too long loses its query, and then its path, rather than the sign-in.
    """
    whole, path = target.origin_form.decode("ascii"), target.path.decode("ascii")
    kept = whole if _fits(whole) else path
    return Return(authority_of(target.host, target.port), kept if _fits(kept) else "/")


def _fits(path: str) -> bool:
    return len(path) + path.count('"') + path.count("\\") <= _LONGEST_PATH  # those two are escaped where it is kept


class Returns:
    """Judges return addresses.

    Args:
        host: the sign-in's host, to whose own pages people may return as well.
        port: the one port at which browsers reach the proxy. Another port of a host of ours may be another server's.
        places: the routes on which people sign in.
    """

    def __init__(self, host: str, port: int, places: Places) -> None:
        self._host = host
        self._port = port
        self._places = places

    def place(self, target: Target) -> Place | None:
        """Return the route that a person may return to, or None: not one of ours, or nobody signs in there.

        The portal's own pages of an application host are no return address: the way to sign in would lead into itself.
        The one that asks for a program is, and stands for the route of the path behind it.
        """
        if (target.port or HTTPS) != self._port:
            return None
        if not is_portal(target):
            return self._places(target.host, target.segments)
        if target.segments[1] != COMMAND_LINE:
            return None
        return self._places(target.host, target.segments[2:] or ("",))

    def is_sign_in(self, target: Target) -> bool:
        """Tell whether a target is on the sign-in host."""
        return target.host == self._host and (target.port or HTTPS) == self._port

    def providers(self, address: Return) -> Sequence[str] | None:
        """Return the names of the providers that may sign people in for an address; None: any may."""
        place = self._place_of(address)
        return None if place is None else place.providers

    def title(self, address: Return) -> str:
        """Return what people call the application of an address; empty where it is none."""
        place = self._place_of(address)
        return "" if place is None else place.title

    def _place_of(self, address: Return) -> Place | None:
        target = _parse(address.url, None)
        return None if target is None else self.place(target)

    def accepts(self, address: Return) -> bool:
        """Tell whether a person may be sent to an address that was sealed earlier: the routes may have changed."""
        return self.read(address.url, None) is not None

    def require(self, address: Return) -> None:
        """Raise Stopped (TARGET_REFUSED) for an address that nobody may be sent to."""
        if not self.accepts(address):
            raise Stopped(TARGET_REFUSED, "a return address must be one of a route that people sign in on")

    def read(self, text: str, host: str | None) -> Return | None:
        """Return the address that a link asks to come back to, or None where it may not.

        Args:
            text: an absolute https URL, or a path on the host that is asked.
            host: that host's authority; None: the text must be absolute.
        """
        target = _parse(text, host)
        if target is None:
            return None
        if self.is_sign_in(target):
            return return_to(target) if target.path in _PAGES else None
        return return_to(target) if self.place(target) is not None else None


def _parse(text: str, host: str | None) -> Target | None:
    """Return the target of an absolute https URL or, where a host is given, of a path."""
    if not text.isascii() or len(text) > _LONGEST_TEXT:
        return None
    try:
        if text.startswith("https://"):
            return parse_target(b"GET", text.encode(), [], (1, 0))  # the one form that may come without a Host
        if text.startswith("/") and host is not None:
            return parse_target(b"GET", text.encode(), [host.encode()], (1, 1))
    except Refused:
        return None
    return None


def is_portal(target: Target) -> bool:
    """Tell whether a target lies under `/.ztproxy/`, in whatever encoding."""
    return len(target.segments) > 1 and target.segments[0] == _FOLDER
