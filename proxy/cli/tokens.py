"""Where tokens of people lie: in the keyring of their system, else in a file that nobody else may read.

The keyring is used where the package `keyring` is installed and has a backend that keeps secrets; it is asked for
nowhere else. A file or folder that others may open is refused: its tokens are no secrets any more.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

from proxy.cli.application import Token
from proxy.identity.sessions.session import is_program_token

_SERVICE: Final = "ztproxy"
_FILE: Final = "tokens.json"
_RECOMMENDED: Final = 1  # the priority from which `keyring` holds a backend to keep secrets


class CannotKeep(Exception):  # noqa: N818 - what it is, and no accident
    """Tokens can be neither kept nor found; the message says why, for people."""


class Tokens(Protocol):
    """What keeps them, by the application's origin; each method raises CannotKeep."""

    place: str

    def get(self, origin: str) -> Token | None:
        """Return the token of an origin."""

    def put(self, origin: str, token: Token) -> None:
        """Keep a token in the place of the one before."""

    def drop(self, origin: str) -> None:
        """Forget the token of an origin, if there is one."""


def find_tokens() -> Tokens:
    """Return what keeps tokens on this system. Raise CannotKeep."""
    keyring = _keyring()
    return TokenFile(_folder()) if keyring is None else SystemKeyring(keyring)


class TokenFile:
    """A file of one's own.

    Args:
        folder: it lies there; made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _FILE
        self.place = str(self._path)
        if folder.exists():
            _require_own(folder, os.stat(folder))
            self._read()

    def get(self, origin: str) -> Token | None:
        """Return the token of an origin."""
        return _token(self._read().get(origin))

    def put(self, origin: str, token: Token) -> None:
        """Keep a token in the place of the one before."""
        with self._locked():
            self._write(self._read() | {origin: asdict(token)})

    def drop(self, origin: str) -> None:
        """Forget the token of an origin, if there is one."""
        with self._locked():
            kept = self._read()
            if kept.pop(origin, None) is not None:
                self._write(kept)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other command write meanwhile."""
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise CannotKeep(f"{self._folder}: {_words(error)}") from None
        try:
            _require_own(self._folder, os.fstat(folder))
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _read(self) -> dict[str, Any]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CannotKeep(f"{self._path}: {_words(error)}") from None
        with open(descriptor, encoding="utf-8") as file:
            _require_own(self._path, os.fstat(descriptor))
            try:
                kept = json.load(file)
            except ValueError:
                kept = None
        if not isinstance(kept, dict):
            raise CannotKeep(f"{self._path} is damaged; remove it, and sign in again")
        return kept

    def _write(self, kept: dict[str, Any]) -> None:
        now = time.time()
        live = {origin: row for origin, row in kept.items() if (token := _token(row)) and token.expires_at > now}
        try:
            descriptor, name = tempfile.mkstemp(dir=self._folder)  # for its owner alone
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(live, file)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, self._path)
        except OSError as error:
            raise CannotKeep(f"{self._path}: {_words(error)}") from None


class SystemKeyring:
    """The keyring of the system.

    Args:
        keyring: the package.
    """

    place = "the keyring"

    def __init__(self, keyring: Any) -> None:
        self._keyring = keyring

    def get(self, origin: str) -> Token | None:
        """Return the token of an origin."""
        with self._asked():
            text = self._keyring.get_password(_SERVICE, origin)
        try:
            return None if text is None else _token(json.loads(text))
        except ValueError:
            return None

    def put(self, origin: str, token: Token) -> None:
        """Keep a token in the place of the one before."""
        with self._asked():
            self._keyring.set_password(_SERVICE, origin, json.dumps(asdict(token)))

    def drop(self, origin: str) -> None:
        """Forget the token of an origin, if there is one."""
        with self._asked(), suppress(self._keyring.errors.PasswordDeleteError):
            self._keyring.delete_password(_SERVICE, origin)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except self._keyring.errors.KeyringError as error:
            raise CannotKeep(f"the keyring cannot be used: {type(error).__name__}") from None


def _keyring() -> Any | None:
    try:
        keyring = importlib.import_module("keyring")
        usable = keyring.get_keyring().priority >= _RECOMMENDED
    except ImportError:
        return None
    except Exception as error:  # a backend's own; to leave a keyring for a file is no choice of ours
        raise CannotKeep(f"the keyring cannot be used: {type(error).__name__}") from None
    return keyring if usable else None


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "ztproxy"


def _require_own(path: Path, facts: os.stat_result) -> None:
    if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        mode = "700" if stat.S_ISDIR(facts.st_mode) else "600"
        raise CannotKeep(f"{path} must be yours, and open to nobody else: chmod {mode}, and sign in again")


def _token(row: Any) -> Token | None:
    """Return the token of what was kept; None where it is none."""
    try:
        token = Token(**row)
        return token if is_program_token(token.text.encode()) and isinstance(token.expires_at, float) else None
    except (TypeError, AttributeError):
        return None


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
