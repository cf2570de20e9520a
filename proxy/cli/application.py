"""What the commands of people ask of an application's host: who may act for them there, and until when.

Nothing is asked but over TLS that was verified, and no redirect is followed: a token is of one host. What a host says
is not believed to be text for a terminal.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlencode

from proxy.identity.sessions.session import is_program_token

_SECONDS: Final = 15.0
_BYTES: Final = 64 * 1024
_PORTAL: Final = "/.ztproxy/"
# Strictly: what another program would read another host in is no URL here.
_URL: Final = re.compile(r"https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(/[!-~]*|\?[!-~]*)?", re.ASCII)


class Unreachable(Exception):  # noqa: N818 - what the host is, and no accident
    """The host did not answer; the message says why, for people."""


class Refusal(Exception):  # noqa: N818 - what the host said
    """The host said no; the message says to what."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an application.

    Args:
        text: the token itself.
        user: whose it is: an e-mail address or a subject.
        expires_at: POSIX seconds; its session may end before.
    """

    text: str = field(repr=False)
    user: str
    expires_at: float


class Application:
    """One origin that people sign in to.

    Args:
        url: of any page there.
        ca: PEM file of the CAs that its certificate is verified by; None: the system's.

    Raises:
        ValueError: the URL is none of https; or the file cannot be read.
    """

    def __init__(self, url: str, ca: Path | None) -> None:
        found = _URL.fullmatch(url)
        if found is None or int(found[2] or 443) not in range(1, 65536):
            raise ValueError("URL must be one of https, such as https://wiki.example.org/")
        port = "" if int(found[2] or 443) == 443 else f":{int(found[2])}"
        self.origin: str = f"https://{found[1].lower()}{port}"
        path = re.split(r"[?#]", found[3] or "/")[0]
        self._path = path if path != "/" else ""
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except OSError as error:  # an error of TLS is one, too
            raise ValueError(f"{ca} must hold PEM certificates: {error.strerror or error}") from None
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self._tls), _Stays())

    @property
    def done(self) -> str:
        """The page at which a browser ends."""
        return f"{self.origin}{_PORTAL}command-line-done"

    def page(self, redirect_uri: str, verifier: str, state: str) -> str:
        """Return the page that asks a person, and sends the answer to where a program waits."""
        challenge = urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
        asked = {"redirect_uri": redirect_uri, "code_challenge": challenge, "code_challenge_method": "S256"}
        return f"{self.origin}{_PORTAL}command-line{self._path}?{urlencode({**asked, 'state': state})}"

    def greet(self) -> None:
        """Ask whether people sign in there at all. Raise Unreachable."""
        status, _ = self._ask("token")
        if status != 401:
            raise Unreachable(f"{self.origin} answered {status}, and must be an application that people sign in to")

    def redeem(self, code: str, redirect_uri: str, verifier: str) -> Token:
        """Return the token that a code is good for.

        Raises:
            Refusal: the host gives none.
            Unreachable: it does not answer.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        status, told = self._ask("token", form={**form, "code_verifier": verifier})
        text = told.get("access_token")
        if status != 200 or not isinstance(text, str) or not is_program_token(text.encode()):
            raise Refusal(f"{self.origin} gave no token: {_plain(told.get('detail') or f'status {status}')}")
        return _token(text, told)

    def look(self, token: str) -> Token | None:
        """Return what the host says of a token now, or None where it is good no more. Raise Unreachable."""
        status, told = self._ask("token", token=token)
        if status not in (200, 401):
            raise Unreachable(f"{self.origin} answered {status}")
        return _token(token, told) if status == 200 else None

    def revoke(self, token: str) -> None:
        """Give a token back. Raise Unreachable where nobody took it."""
        status, _ = self._ask("revoke", form={"token": token})
        if status != 200:
            raise Unreachable(f"{self.origin} answered {status}")

    def _ask(self, name: str, *, form: dict[str, str] | None = None, token: str = "") -> tuple[int, dict[str, Any]]:
        data = None if form is None else urlencode(form).encode("ascii")
        fields = {"Accept": "application/json"}
        request = urllib.request.Request(f"{self.origin}{_PORTAL}{name}", data, fields)  # noqa: S310 - https alone
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            try:
                with self._opener.open(request, timeout=_SECONDS) as answer:
                    return answer.status, _facts(answer)
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code, _facts(refused)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.origin} cannot be reached: {_reason(error)}") from None


class _Stays(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _facts(answer: IO[bytes]) -> dict[str, Any]:
    try:
        told = json.loads(answer.read(_BYTES))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _token(text: str, told: dict[str, Any]) -> Token:
    seconds = told.get("expires_in")
    return Token(text, _plain(told.get("user") or ""), time.time() + (seconds if isinstance(seconds, int) else 0))


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"{inner.verify_message}; --ca names the file of a private CA"
    return str(inner) or type(inner).__name__


def _plain(text: object) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(text)[:256])
