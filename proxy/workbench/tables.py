"""Table tests: files called `….policy.yaml` that say who asks for what, and what the gateway does.

Read strictly, every mistake with its place. A test goes the whole way of a request at the desk: target rules, routes,
identity, decision, status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from proxy.config import document
from proxy.config.mistake import Location, Mistake, did_you_mean
from proxy.workbench.case import Case, Who, parse_who, split_url
from proxy.workbench.desk import Desk
from proxy.workbench.outcome import Outcome
from proxy.workbench.table_schema import FILE, GIVEN, THEN, WHEN, Key

Verdict = Literal["pass", "fail", "error"]
_WHO: Final = ("groups", "claims", "issuer", "method", "age", "amr", "acr", "workload", "device")
_TEST: Final = ("name", "todo", "given", "when", "then")


@dataclass(frozen=True, slots=True)
class TableTest:
    """One test.

    Args:
        name: what holds.
        case: the request.
        expected: what is looked at of its outcome, by the keys of `then`.
        todo: it is not to be run yet.
        file, line, column: where it stands.
    """

    name: str
    case: Case
    expected: Mapping[str, Any]
    todo: bool
    file: str
    line: int
    column: int

    @property
    def place(self) -> str:
        """Where it stands, for people and editors."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Table:
    """One file of tests.

    Args:
        path: the file.
        config, policy: what it names, or None.
        decision: the rule that it names, or None.
        tests: in the order of the file.
    """

    path: Path
    config: Path | None = None
    policy: Path | None = None
    decision: str | None = None
    tests: tuple[TableTest, ...] = ()

    def open(self, config: Path | None = None, policy: Path | None = None) -> Desk:
        """Return the desk that its tests are made for.

        Args:
            config: where the file names neither config nor policy; or None.
            policy: in place of the policy; or None: the file's, or the folder that it stands in where nothing is named.

        Raises:
            CannotRun: it does not load.
        """
        if self.config is None and self.policy is None and config is None and policy is None:
            policy = self.path.parent
        config = self.config or (config if self.policy is None else None)
        return Desk.open(config, policy or self.policy, self.decision)


def read_table(path: Path) -> tuple[Table, list[str]]:
    """Read a file of table tests. Return it, and every mistake in it as a line with its place."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Table(path), [f"{path}: {(error.strerror or 'cannot be read').lower()}"]
    reader = _Reader(path, content)
    table = reader.read()
    return table, reader.told()


@dataclass
class _Reader:
    path: Path
    content: bytes
    mistakes: list[Mistake] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.document = document.parse(self.content)
        self.lines = self.content.decode("utf-8", "replace").splitlines()

    def told(self) -> list[str]:
        found = [*self.document.mistakes, *((self.document.line_of(one.location), one) for one in self.mistakes)]
        told = []
        for line, mistake in sorted(found, key=lambda one: one[0]):
            where = f"{mistake.path}: " if mistake.location else ""
            told.append(f"{self.path}:{line}:{self.column(line, mistake.location)}: {where}{mistake.rule}")
        return told

    def column(self, line: int, location: Location) -> int:
        """Return where on its line a key stands, or a list's item, from 1."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        key = next((step for step in reversed(location) if isinstance(step, str)), "")
        found = text.find(f"{key}:") if key else -1
        return (found if found >= 0 else len(text) - len(text.lstrip(" -"))) + 1

    def mistake(self, location: Location, rule: str) -> None:
        self.mistakes.append(Mistake(location, rule))

    def read(self) -> Table:
        value = self.document.value
        if not isinstance(value, dict):
            if not self.document.mistakes:
                self.mistake((), "a file of table tests must be an object with tests")
            return Table(self.path)
        named = self.keys({name: item for name, item in value.items() if name not in ("given", "tests")}, FILE, ())
        given = self.section(value, "given", GIVEN, ())
        listed = value.get("tests")
        if not isinstance(listed, list) or not listed:
            self.mistake(("tests",) if listed is not None else (), "tests must be a list of at least one test")
            listed = []
        tests = [self.test(item, given, ("tests", index)) for index, item in enumerate(listed)]
        self.names(tests)
        return Table(
            self.path,
            self.beside(named.get("config")),
            self.beside(named.get("policy")),
            named.get("decision"),
            tuple(test for test in tests if test is not None),
        )

    def beside(self, name: str | None) -> Path | None:
        return None if name is None else self.path.parent / name

    def names(self, tests: Iterable[TableTest | None]) -> None:
        seen: dict[str, int] = {}
        for index, test in enumerate(tests):
            if test is not None and (first := seen.setdefault(test.name, index)) != index:
                self.mistake(("tests", index, "name"), f"is the name of tests[{first}] already")

    def keys(self, value: Mapping[str, Any], known: Mapping[str, Key], at: Location) -> dict[str, Any]:
        """Return what the keys of an object mean; what is wrong with them is put down."""
        out = {}
        for name, item in value.items():
            if name not in known:
                self.mistake((*at, name), f"is no key here{did_you_mean(name, known)}")
                continue
            try:
                out[name] = known[name].read(item)
            except ValueError as wrong:
                self.mistake((*at, name), str(wrong))
        return out

    def section(self, value: Mapping[str, Any], name: str, known: Mapping[str, Key], at: Location) -> dict[str, Any]:
        section = value.get(name, {})
        if isinstance(section, dict):
            return self.keys(section, known, (*at, name))
        self.mistake((*at, name), "must be an object")
        return {}

    def test(self, value: Any, given: Mapping[str, Any], at: Location) -> TableTest | None:
        if not isinstance(value, dict):
            self.mistake(at, "a test must be an object with name, when and then")
            return None
        before = len(self.mistakes)
        for name in value:
            if name not in _TEST:
                self.mistake((*at, name), f"is no key here{did_you_mean(name, _TEST)}")
        name, todo = value.get("name"), value.get("todo", False)
        if not isinstance(name, str) or not name:
            self.mistake((*at, "name"), "a test must have a name")
        if not isinstance(todo, bool):
            self.mistake((*at, "todo"), "must be true or false")
        case = self.case(value, {**given, **self.section(value, "given", GIVEN, at)}, at)
        expected = self.section(value, "then", THEN, at)
        if not value.get("then"):
            self.mistake((*at, "then"), "a test must say what is expected (then)")
        if case is None or len(self.mistakes) > before:
            return None
        line = self.document.line_of(at)
        return TableTest(str(name), case, expected, todo, str(self.path), line, self.column(line, ()))

    def case(self, value: Mapping[str, Any], given: Mapping[str, Any], at: Location) -> Case | None:
        when = value.get("when")
        if isinstance(when, str):
            method, space, url = when.partition(" ")
            request: dict[str, Any] = {"method": method, "url": url} if space else {"url": when}
            try:
                split_url(request["url"])
            except ValueError as wrong:
                self.mistake((*at, "when"), str(wrong))
                return None
        elif isinstance(when, dict):
            request = self.section(value, "when", WHEN, at)
            if "url" not in when:
                self.mistake((*at, "when"), "must have a url")
        else:
            self.mistake((*at, "when"), "a test must say what is asked (when): METHOD URL, or an object")
            return None
        return Case(
            method=request.get("method", "GET"),
            url=request.get("url", ""),
            who=_who(given),
            headers=request.get("headers", ()),
            time=given.get("time"),
            has_body=request.get("body", False),
            listener=request.get("listener"),
            **({"source": given["source"]} if "source" in given else {}),
        )


def _who(given: Mapping[str, Any]) -> Who:
    who = parse_who(f"user:{given['user']}") if "user" in given else Who()
    who = replace(who, **{name: given[name] for name in _WHO if name in given})
    return replace(who, email=given.get("email", who.email))


def run_table_test(desk: Desk, test: TableTest) -> tuple[Verdict, list[str], Outcome | None]:
    """Run a test.

    Returns:
        `pass`, `fail` or `error`; what is wrong, a line each; and the outcome.
    """
    try:
        outcome = desk.decide(test.case)
    except ValueError as impossible:
        return "error", [str(impossible)], None
    wrong = [*differences(test.expected, outcome)]
    return ("fail" if wrong else "pass"), wrong, outcome


def differences(expected: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    """Yield what an outcome has otherwise than it is expected, a line each."""
    for name in ("allow", "status", "code", "route", "public_reason"):
        got = getattr(outcome, name)
        if name in expected and expected[name] != got:
            yield f"{name} must be {_said(expected[name])}, and is {_said(got)}{_why(outcome)}"
    for reason in expected.get("reasons", ()):
        if reason not in outcome.reasons:
            yield f"reasons must have {_said(reason)}, and are {_said(list(outcome.reasons))}"
    for name, value in expected.get("headers", ()):
        got = [said for known, said in outcome.headers if known == name.lower()]
        if value not in got:
            yield f"header {name} must be {_said(value)}, and is {_said(got)}"


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "not there" if value is None or value == [] else str(value)


def _why(outcome: Outcome) -> str:
    why = outcome.detail if outcome.code is not None else ", ".join(outcome.reasons)
    told = " ".join(filter(None, (str(outcome.status or ""), outcome.code)))
    return f" ({told}: {why})" if why else f" ({told})"
