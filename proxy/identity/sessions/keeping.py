"""What the config says of sessions, as what works: a store, the keys that seal, and what requests ask."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config import Mistake
from proxy.config.load import read_secret
from proxy.config.staff import Session
from proxy.identity.sealed import Keyring
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.services import ServiceTokens
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import Store, StoreUnavailable

_FILE: Final = "sessions.db"
_KEYS: Final = "session.keys"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where sessions are kept: of equal origins one store is enough.

    Args:
        url: of a Redis server, or empty.
        path: of a SQLite file.
    """

    url: str
    path: Path

    def open(self) -> Store:
        """Return the store; it connects when it is asked first.

        Raises:
            ValueError: what is given is no URL of a Redis server.
            ImportError: what Redis needs is not installed.
        """
        if not self.url:
            return SQLiteStore(self.path)
        from proxy.identity.sessions.redis import RedisStore  # an extra

        return RedisStore(self.url)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What works. `sessions.run()` is its background work."""

    origin: Origin
    idle: float
    store: Store
    keyring: Keyring
    sessions: Sessions
    services: ServiceTokens

    async def close(self) -> None:
        """Write down which sessions were used, and let go of the store."""
        with suppress(StoreUnavailable):  # when a session was last used is told a minute too early
            await self.sessions.flush()
        await self.store.close()


def build_keeping(
    section: Session, state_directory: Path, previous: Keeping | None, *, make: bool
) -> tuple[Keeping | None, list[Mistake]]:
    """Build what a config says; keys are read anew, and a store that serves already goes on.

    Args:
        section: `session` of the config.
        state_directory: of the config.
        previous: what serves now.
        make: whether keys that are not there yet are to be made. Whoever only looks leaves nothing behind.

    Returns:
        None where an error stands among the mistakes.
    """
    origin, mistakes = find_origin(section, state_directory)
    keyring, wrong = _keyring(section, state_directory, make=make)
    mistakes += wrong
    if origin is None or keyring is None:
        return None, mistakes
    if previous is not None and (previous.origin, previous.idle) == (origin, section.idle):
        return Keeping(origin, section.idle, previous.store, keyring, previous.sessions, previous.services), mistakes
    store, wrong = open_store(origin)
    if store is None:
        return None, [*mistakes, *wrong]
    sessions = Sessions(store, idle=section.idle)
    services = ServiceTokens(store, sessions.following)
    return Keeping(origin, section.idle, store, keyring, sessions, services), mistakes


def find_origin(section: Session, state_directory: Path) -> tuple[Origin | None, list[Mistake]]:
    """Return where a config keeps sessions, or None beside the mistake."""
    path = state_directory / _FILE
    if section.url_file is None:
        return Origin("", path), []
    try:
        return Origin(read_secret(section.url_file), path), []
    except ValueError as error:
        return None, [Mistake(("session", "url_file"), str(error))]


def open_store(origin: Origin) -> tuple[Store | None, list[Mistake]]:
    """Return the store of an origin, or None beside the mistake."""
    try:
        return origin.open(), []
    except ImportError:
        return None, [Mistake(("session", "store"), "redis needs what `pip install 'ztproxy[redis]'` installs")]
    except ValueError:  # its words may hold the URL
        rule = "must hold a URL that begins with redis://, rediss:// or unix://"
        return None, [Mistake(("session", "url_file"), rule)]


def _keyring(section: Session, state_directory: Path, *, make: bool) -> tuple[Keyring | None, list[Mistake]]:
    path, location = section.keys_file or state_directory / _KEYS, ("session", "keys_file")
    try:
        if not make:
            return Keyring.load(path), []
        if section.keys_file is None:
            state_directory.mkdir(mode=0o700, exist_ok=True)
        return Keyring.load_or_make(path), []
    except FileNotFoundError:
        if not make and path.parent.parent.is_dir():
            return Keyring.of(secrets.token_bytes(32)), []
        return None, [Mistake(location, f"keys must be readable: {path}: no such file or directory")]
    except OSError as error:
        return None, [Mistake(location, f"keys must be readable: {path}: {(error.strerror or str(error)).lower()}")]
    except ValueError as error:
        return None, [Mistake(location, f"{error}: {path}")]
