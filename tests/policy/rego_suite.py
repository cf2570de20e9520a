"""OPA's own Rego compliance suite on the embedded engine: what comes of each case, and the table of it.

`python -m tests.policy.rego_suite` prints the table.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import regorus

from proxy.errors import POLICY_FAILED, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.reading import told
from proxy.policy.sources import Module
from tests.suites import suite_json

# What no policy of a gateway needs, and the issue of no decision: told apart in the table's last line.
OTHERS: Final = frozenset({"graphql", "providers-aws", "regometadatachain"})
Word = Literal["passed", "fails", "refused", "wrong"]
_PATH: Final = re.compile(r"data\.([A-Za-z0-9_.]+) = (\w+)")
_VARIABLES: Final = re.compile(r"= ([a-z_]\w*)(?=;|$)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a case.

    Args:
        note: the case's name.
        word: `passed` as OPA does, with its value or with an error where it has one; `fails` where OPA has undefined
            or a value, for a built-in that fails is an error here; `refused` at load; or `wrong`.
        why: what was said, or what was answered.
    """

    note: str
    word: Word
    why: str = ""


@cache
def cases() -> dict[str, list[dict[str, Any]]]:
    """Return the suite's cases by category."""
    found: dict[str, list[dict[str, Any]]] = suite_json("rego/cases.json")
    return found


@cache
def outcomes(category: str) -> list[Outcome]:
    """Return what comes of each case of a category."""
    return [_outcome(case) for case in cases()[category]]


def _outcome(case: dict[str, Any]) -> Outcome:
    wants_error = "want_error" in case or "want_error_code" in case
    modules = [Module(f"{index}.rego", text) for index, text in enumerate(case.get("modules") or [])]
    path, variable = _asked(case["query"])
    engine, faults, undefined = compile_policy(modules, case.get("data") or {}, [path] if path else [])
    if engine is not None and (not path or undefined):  # a question of its own, or of what is no rule
        path, variable = "question/answers", ""
        modules.append(_question(case))
        engine, faults, _ = compile_policy(modules, case.get("data") or {}, [path])
    if engine is None:
        return Outcome(case["note"], "passed" if wants_error else "refused", faults[0])
    try:
        value = _value(engine, path, case)
    except Refused as refused:
        assert refused.row is POLICY_FAILED, refused  # noqa: PT017 - it must not panic
        return Outcome(case["note"], "passed" if wants_error else "fails", str(refused))
    if wants_error:
        return Outcome(case["note"], "wrong", f"{value!r} for an error")
    got = value if not variable else [] if value is UNDEFINED else [{variable: value}]
    same = _plain(got, case) == _plain(case["want_result"], case)
    return Outcome(case["note"], "passed" if same else "wrong", repr(value))


def _asked(query: str) -> tuple[str, str]:
    """Return the rule that a query asks for, and the variable that its value is wanted as; none: it is a larger one."""
    match = _PATH.fullmatch(query)
    return ("", "") if match is None else (match[1].replace(".", "/"), match[2])


def _question(case: dict[str, Any]) -> Module:
    """Return a rule whose value is all that a query binds."""
    wanted = case.get("want_result") or []
    names = sorted(wanted[0]) if wanted else _VARIABLES.findall(case["query"])
    bindings = ", ".join(f'"{name}": {name}' for name in names)
    return Module("question.rego", f"package question\n\nanswers contains {{{bindings}}} if {{\n{case['query']}\n}}")


def _value(engine: Any, path: str, case: dict[str, Any]) -> object:
    """Return the value of a rule. Where the suite asks without an input there is none; a request always has one."""
    asked = EmbeddedEngine(engine, "suite", 60.0)
    if "input" in case or "input_term" in case:
        return asyncio.run(asked.evaluate(path, _input(case)))
    try:
        return asked._value(f"data.{path.replace('/', '.')}")
    except RuntimeError as error:
        raise Refused(POLICY_FAILED, told(error)) from None


def _input(case: dict[str, Any]) -> Any:
    """Return a case's input; a term of Rego may hold sets."""
    if "input_term" not in case:
        return case.get("input") or {}
    engine = regorus.Engine()
    engine.add_policy("input.rego", f"package i\n\nx := {case['input_term']}")
    return engine.eval_rule("data.i.x")


def _plain(bindings: Any, case: dict[str, Any]) -> object:
    """Return bindings for comparison: each once, and where the suite says so without the order in arrays."""
    if case.get("sort_bindings"):
        bindings = [
            {name: sorted(value, key=json.dumps) if isinstance(value, list) else value for name, value in each.items()}
            for each in bindings
        ]
    return sorted(bindings, key=lambda each: json.dumps(each, sort_keys=True))


def counts(categories: Iterable[str]) -> Counter[str]:
    """Return how many cases of some categories have come to each word, and `cases` in all."""
    words = Counter(outcome.word for category in categories for outcome in outcomes(category))
    return Counter({**words, "cases": words.total(), "accepted": words.total() - words["refused"]})


_COLUMNS: Final = ("cases", "accepted", "passed", "fails", "refused", "wrong")


def table() -> str:
    """Return the table of all categories as Markdown, the sums at its end."""
    rows = [("category", *_COLUMNS), ("---", *("---:" for _ in _COLUMNS))]
    rows += [(category, *_row([category])) for category in sorted(cases())]
    rows += [
        ("**all**", *_row(cases())),
        (f"**all but {', '.join(sorted(OTHERS))}**", *_row(cases().keys() - OTHERS)),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(categories: Iterable[str]) -> list[str]:
    found = counts(categories)
    return [str(found[column]) if found[column] or column in ("cases", "passed") else "" for column in _COLUMNS]


if __name__ == "__main__":
    print(table())  # noqa: T201
