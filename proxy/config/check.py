"""Rules between the sections of a config: names that must exist, and what must not contradict."""

from __future__ import annotations

from proxy.config.mistake import Mistake
from proxy.config.schema import Config


def check(config: Config) -> list[Mistake]:
    """Return every cross-field mistake of a config that the schema accepts."""
    return []
