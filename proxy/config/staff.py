"""The sections of the config that are about people who sign in, and the rules within them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from proxy.config.mistake import Mistake
from proxy.config.section import Section
from proxy.config.units import Wait, format_duration
from proxy.config.values import FilePath, Flag, SecretFile

SERVICES: Final = "ztproxy"  # the issuer of service tokens, as routes and policies name it
STATE_DIRECTORY: Final = Path("/var/lib/ztproxy")
_SHORTEST_IDLE: Final = 60.0  # use is written down a few times in that


def _long_enough(seconds: float) -> float:
    if seconds < _SHORTEST_IDLE:
        raise ValueError(f"must not be shorter than {format_duration(_SHORTEST_IDLE)}: use is noted now and then")
    return seconds


class Session(Section):
    """How long a sign-in lasts, and where sessions and service tokens are kept."""

    store: Literal["sqlite", "redis"] = "sqlite"
    url_file: SecretFile | None = None
    keys_file: FilePath | None = None
    idle: Annotated[Wait, AfterValidator(_long_enough)] = 2 * 3600.0
    lifetime: Wait = 12 * 3600.0
    refresh: Wait = 600.0
    bind_device: Flag = False


def session_mistakes(session: Session) -> Iterator[Mistake]:
    """Return what within the section contradicts."""
    redis = session.store == "redis"
    if redis and session.url_file is None:
        yield Mistake(("session", "url_file"), "is required with store: redis")
    if redis and session.keys_file is None:
        yield Mistake(("session", "keys_file"), "is required with store: redis: every host needs the same keys")
    if not redis and session.url_file is not None:
        yield Mistake(("session", "url_file"), "must not stand beside store: sqlite")
    if session.idle > session.lifetime:
        yield Mistake(("session", "idle"), "must not be longer than session.lifetime")
