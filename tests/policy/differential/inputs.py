"""Inputs and data for generated policies: what every request has is there, the rest comes and goes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from tests.policy.differential.grammar import KEYS, NUMBERS, WORDS

Make = Callable[[random.Random], Any]

ADDRESSES: Final = ["203.0.113.7", "10.1.2.3", "2001:db8::7", ""]


def _word(dice: random.Random) -> str:
    return dice.choice(WORDS)


def _number(dice: random.Random) -> int:
    return dice.choice(NUMBERS)


def _truth(dice: random.Random) -> bool:
    return dice.random() < 0.5


def _list(dice: random.Random) -> list[str]:
    return [dice.choice(WORDS) for _ in range(dice.randrange(4))]


def _map(dice: random.Random) -> dict[str, str]:
    return {dice.choice(KEYS): dice.choice(WORDS) for _ in range(dice.randrange(4))}


def _odd(dice: random.Random) -> Any:
    return dice.choice([lambda dice: None, _truth, _number, _word, _list, _map])(dice)


def _some(dice: random.Random, **members: Make) -> dict[str, Any]:
    """Return an object of some of these members, each of which is now and then something else entirely."""
    there = {name: make for name, make in members.items() if dice.random() < 0.7}
    return {name: _odd(dice) if dice.random() < 0.1 else make(dice) for name, make in there.items()}


def _claims(dice: random.Random) -> dict[str, Any]:
    return _some(
        dice,
        department=_word,
        level=_number,
        staff=_truth,
        roles=_list,
        org=lambda dice: _some(dice, team=_word),
    )


def document(dice: random.Random) -> dict[str, Any]:
    """Return an input of ztproxy's shape, with `extra` beside it."""
    made = {
        "principal": {
            "kind": dice.choice(["user", "workload", "anonymous"]),
            "id": _word(dice),
            "issuer": _word(dice),
            "email": _word(dice),
            "groups": _list(dice),
            "claims": _claims(dice),
        },
        "peer": dice.choice([None, {"id": _word(dice)}]),
        "request": {
            "method": dice.choice(["GET", "PUT"]),
            "path": dice.choice(["/docs/a", "/", "/docs"]),
            "path_segments": _list(dice) or [""],
            "host": _word(dice),
            "headers": _map(dice),
            "has_body": _truth(dice),
        },
        "route": {"name": _word(dice), "labels": _map(dice)},
        "source": {"address": dice.choice(ADDRESSES), "port": _number(dice)},
        "time": {
            "hour": dice.randrange(24),
            "minute": dice.randrange(60),
            "weekday": dice.choice(["Sunday", "Monday"]),
        },
    }
    if dice.random() < 0.8:
        made["extra"] = _some(dice, name=_word, number=_number, flag=_truth, list=_list, map=_map, any=_odd)
    return made


def data(dice: random.Random) -> dict[str, Any]:
    """Return data as an administrator keeps it."""
    return {
        "roles": {_word(dice): _list(dice) for _ in range(dice.randrange(3))},
        "owners": _map(dice),
        "limits": {"low": _number(dice)},
        "apps": [{"name": _word(dice), "groups": _list(dice), "labels": _map(dice)} for _ in range(dice.randrange(3))],
    }
