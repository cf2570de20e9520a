"""How results of tests are told: to people, to programs as `opa test` tells them, and as JUnit to what runs builds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final
from xml.etree import ElementTree

from proxy.policy.testing import Outcome, Result

_RULE: Final = "-" * 80
_OUTCOMES: Final[tuple[Outcome, ...]] = ("pass", "fail", "error", "skipped")


def passed(results: Iterable[Result]) -> bool:
    """Tell whether nothing failed."""
    return all(result.outcome in ("pass", "skipped") for result in results)


def pretty(results: list[Result], *, verbose: bool) -> Iterator[str]:
    """Yield the lines for a person: what failed or was skipped, with verbose what passed too, and the sums."""
    told = [result for result in results if verbose or result.outcome != "pass"]
    for file, of_file in groupby(told, key=lambda result: result.test.file):
        yield f"{file}:"
        for result in of_file:
            yield from _lines(result)
        yield ""
    if told:
        yield _RULE
    for outcome in _OUTCOMES:
        count = sum(result.outcome == outcome for result in results)
        if count or outcome == "pass":
            yield f"{outcome.upper()}: {count}/{len(results)}"


def _lines(result: Result) -> Iterator[str]:
    test = result.test
    took = f" ({result.duration_ns / 1000:.0f}µs)" if result.outcome != "skipped" else ""
    yield f"{test.rule}: {result.outcome.upper()}{took}"
    if result.outcome != "pass":
        yield f"  {test.place}"
    for line in (*result.message.splitlines(), *result.printed):
        yield f"  {line}"


def as_json(result: Result) -> dict[str, Any]:
    """Return a result as `opa test --format json` has it."""
    test = result.test
    out: dict[str, Any] = {
        "location": {"file": test.file, "row": test.line, "col": test.column},
        "package": test.package,
        "name": test.name,
        "duration": result.duration_ns,
    }
    if result.outcome == "fail":
        out["fail"] = True
    if result.outcome == "skipped":
        out["skip"] = True
    if result.outcome == "error":
        out["error"] = {"message": result.message}
    elif result.message:
        out["message"] = result.message
    if result.printed:
        out["output"] = [*result.printed]
    return out


def junit(results: list[Result]) -> str:
    """Return the results as JUnit XML: a suite a file."""
    root = ElementTree.Element("testsuites")
    for file, of_file in groupby(results, key=lambda result: result.test.file):
        cases = [*of_file]
        suite = ElementTree.SubElement(root, "testsuite", {"name": file, **_counts(cases)})
        for result in cases:
            _case(suite, result)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _counts(results: list[Result]) -> dict[str, str]:
    count = {outcome: sum(result.outcome == outcome for result in results) for outcome in _OUTCOMES}
    seconds = sum(result.duration_ns for result in results) / 1e9
    return {
        "tests": str(len(results)),
        "failures": str(count["fail"]),
        "errors": str(count["error"]),
        "skipped": str(count["skipped"]),
        "time": f"{seconds:.6f}",
    }


def _case(suite: ElementTree.Element, result: Result) -> None:
    test = result.test
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=test.package or test.file,
        name=test.name,
        file=test.file,
        line=str(test.line),
        time=f"{result.duration_ns / 1e9:.6f}",
    )
    message = _printable(result.message or "the rule is not true")
    if result.outcome == "fail":
        ElementTree.SubElement(case, "failure", message=message).text = f"{test.place}: {message}"
    elif result.outcome == "error":
        ElementTree.SubElement(case, "error", message=message).text = f"{test.place}: {message}"
    elif result.outcome == "skipped":
        ElementTree.SubElement(case, "skipped")
    if result.printed:
        ElementTree.SubElement(case, "system-out").text = _printable("\n".join(result.printed))


def _printable(text: str) -> str:
    """Return text without the characters that no XML may hold (XML 1.0 section 2.2)."""
    return "".join(one if one in "\t\n\r" or (one >= " " and one not in "\ufffe\uffff") else "\ufffd" for one in text)
