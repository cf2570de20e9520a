"""The attacks on tokens of the public list, made one by one: `ATTACKS` has each under its name there."""

from tests.identity.attacks import algorithms, claims, headers, keysets, serializations
from tests.identity.attacks.world import ATTACKS, World

__all__ = ["ATTACKS", "World", "algorithms", "claims", "headers", "keysets", "serializations"]
