"""The real curl, with a token: which of its options may be given, and how the token gets there.

curl sends a field to every URL that it is given, so that it may be given one. Which words are options and which their
values curl says itself (`--help all`); what it does not know is refused. The token is in no argument, which every user
of the computer can read: curl reads it of a pipe.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

_ROW: Final = re.compile(r"^ *(?:-(\S), )?--(\S+)( <)?", re.MULTILINE)
_REFUSED: Final = {
    "url": "there may be one URL",
    "next": "there may be one URL",
    "config": "a config could name another URL",
    "insecure": "a token must go to nobody whose certificate is not verified; --ca names the file of a private CA",
    "location-trusted": "a token must not follow a redirect to another host",
    "oauth2-bearer": "there may be one credential",
    "user": "there may be one credential",
    "libcurl": "a token must not be written to a file",
}


class CurlRefused(Exception):  # noqa: N818 - what it is, and no accident
    """What was asked of curl would send a token elsewhere, or curl cannot be asked; the message is for people."""


class Curl:
    """The command, and the options that it has.

    Args:
        told: what `curl --help all` says.
    """

    def __init__(self, told: str) -> None:
        self._values: dict[str, bool] = {}  # whether an option takes one
        self._short: dict[str, str] = {}
        for letter, name, value in _ROW.findall(told):
            self._values[name] = bool(value)
            if letter:
                self._short[letter] = name

    @classmethod
    def ask(cls) -> Curl:
        """Return what is installed. Raise CurlRefused."""
        try:
            told = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=True)  # noqa: S607
        except (OSError, subprocess.CalledProcessError):
            raise CurlRefused("curl must be installed") from None
        return cls(told.stdout)

    def require(self, words: Sequence[str]) -> None:
        """Raise CurlRefused where words are anything but options, and the values that they take."""
        rest = list(words)
        while rest:
            word = rest.pop(0)
            takes = self._long(word[2:]) if word.startswith("--") else self._letters(word)
            if takes and not rest:
                raise CurlRefused(f"{word} must have a value")
            if takes:
                rest.pop(0)

    def _long(self, name: str) -> bool:
        """Tell whether the next word is an option's value."""
        negated = name.removeprefix("no-")
        if name not in self._values and not (negated in self._values and not self._values[negated]):
            raise CurlRefused(f"curl must have the option --{name}")
        if name in _REFUSED:
            raise CurlRefused(f"--{name}: {_REFUSED[name]}")
        return self._values.get(name, False)

    def _letters(self, word: str) -> bool:
        """The same of `-sSo`, whose last letter's value may stand behind it."""
        if len(word) < 2 or word[0] != "-":
            raise CurlRefused(f"{word}: there may be one URL, and options of curl behind it")
        for place, letter in enumerate(word[1:], 2):
            if letter not in self._short:
                raise CurlRefused(f"curl must have the option -{letter}")
            if self._long(self._short[letter]):
                return place == len(word)
        return False


def run(url: str, token: str, ca: Path | None, words: Sequence[str]) -> NoReturn:
    """Become curl.

    Args:
        url: of the token's origin.
        token: nobody has changed it since `is_program_token` was asked.
        ca: PEM file of the CAs to verify by; None: the system's.
        words: that `require` took.

    Raises:
        CurlRefused: it cannot be run.
    """
    reads, writes = os.pipe()
    os.write(writes, f'header = "Authorization: Bearer {token}"\n'.encode("ascii"))
    os.close(writes)
    os.set_inheritable(reads, True)
    # -q: what somebody has in a .curlrc was not meant for tokens.
    first = ["curl", "-q", "--config", f"/dev/fd/{reads}", *(["--cacert", str(ca)] if ca is not None else [])]
    try:
        os.execvp("curl", [*first, "--url", url, *words])  # noqa: S606, S607 - the words are curl's, and no shell's
    except OSError:
        raise CurlRefused("curl must be installed") from None
