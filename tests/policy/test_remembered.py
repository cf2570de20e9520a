"""The proof that a remembered decision is the one that would be made anew, on both engines.

Fresh is always: the whole input document, evaluated. Remembered is: the part that is read, once, and from then on the
table. They are compared over questions that differ in a few fields from one to the next (`questions`), for the policies
that ship, those of the documentation, OPA's own suite, and policies that dice write (`written`).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.errors import Refused
from proxy.policy.allow import route_data
from proxy.policy.decision import UNDEFINED, Decision
from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.fields import canonical
from proxy.policy.input import Inquiry, build_input
from proxy.policy.memo import Memo, Memory, Remembered
from proxy.policy.reading import new_engine
from proxy.policy.reads import InputPath, Reader, Reads
from proxy.policy.record import Told
from proxy.policy.shown import cut, tree_of
from proxy.policy.sources import Module, read_sources
from proxy.telemetry.metrics import Metrics
from tests.opa import OPAServer, opa_server
from tests.policy.inquiries import config
from tests.policy.questions import Question, posed, turns, usual, walk
from tests.policy.test_parity import ALLOW
from tests.policy.written import POINT, written
from tests.suites import suite_json

ROOT: Final = Path(__file__).resolve().parents[2]
PAIRS: Final = 10_000
FAILS: Final = "fails"


@dataclass(frozen=True)
class Policy:
    """A policy as an engine of each kind is given it."""

    modules: tuple[Module, ...]
    data: dict[str, Any]
    point: str

    def engine(self, drop: InputPath | None = None) -> EmbeddedEngine:
        """Return an embedded engine, which overlooks a path that the policy reads, if one is given."""
        engine, faults, undefined = compile_policy([*self.modules], self.data, [self.point])
        assert engine is not None, faults
        assert not undefined
        reader = Reader(json.loads(engine.get_ast_as_json()))

        def reads(point: str) -> Reads:
            found = reader.reads(point)
            return replace(found, paths={path: place for path, place in found.paths.items() if path != drop})

        return EmbeddedEngine(engine, "revision", 60.0, reads)


def _shipped(name: str) -> Policy:
    if name == "default":
        sources, _ = read_sources(None)
        data = route_data(config(*ALLOW, {"users": ["user-2"], "methods": ["PUT"]}))
        data["ztproxy"]["routes"]["docs"] = {"allow": data["ztproxy"]["routes"]["wiki"]["allow"][::-2]}
    else:
        sources, _ = read_sources(ROOT / "policies" / "examples" / name)
        data = {}
    assert sources is not None
    point = "ztproxy/authz/decision" if name == "default" else f"examples/{name}/decision"
    return Policy(tuple(sources.modules), sources.data | data, point)


SHIPPED: Final = ["default", *sorted(path.name for path in (ROOT / "policies" / "examples").iterdir())]

# What Envoy's users have: its shape, imports, a token that is read by hand, an object or a boolean as the answer.
ENVOY: Final = """
package envoy.authz

import rego.v1

import input.attributes.request.http as http_request

default allow := false

allow if {
	http_request.method in {"GET", "HEAD"}
	input.parsed_path[0] in {"docs", "public"}
	not is_suspicious
}

allow if {
	action_of[http_request.method] == "write"
	input.parsed_path == ["users", claims.sub, "photo"]
}

allow if startswith(input.source_principal, "spiffe://example.org/ns/ci/")

is_suspicious if "7" in object.get(input.parsed_query, "size", [])

is_suspicious if http_request.headers["x-team"] == "rot"

action_of := {"PUT": "write", "POST": "write"}

claims := {"sub": "user-1"} if contains(http_request.headers.cookie, "a=1")

claims := {"sub": "user-2"} if not http_request.headers.cookie
"""


def _documented() -> Policy:
    text = (ROOT / "docs" / "policy.md").read_text()
    found = re.search(r"```rego\n(package people\.authz.*?)```", text, re.DOTALL)
    assert found is not None
    return Policy((Module("people.rego", found[1]),), {}, "people/authz/decision")


@cache
def policy(name: str) -> Policy:
    if name == "documented":
        return _documented()
    if name == "envoy":
        return Policy((Module("envoy.rego", ENVOY),), {}, "envoy/authz/allow")
    return _shipped(name)


NAMES: Final = [*SHIPPED, "documented", "envoy"]


@cache
def inquiries() -> list[Inquiry]:
    """Return questions of which each is a pair with the one before."""
    return [posed(question) for question in [*walk(1, PAIRS + 1), *_seldom()]]


def _seldom() -> Iterator[Question]:
    """Yield what dice seldom throw: an editor, and an employee before a door that opens on managed devices alone."""
    yield usual() | {"principal.groups": ("editors",), "path": "/drafts/2"}
    at_the_door = usual() | {"principal.groups": ("employees",), "path": "/admin/x"}
    for kind, name in [("device", "mdm:7"), ("workload", "mdm:7"), ("device", "lab:7"), ("device", "mdm:7")]:
        yield at_the_door | {"peer.kind": kind, "peer.id": name}
    managed = at_the_door | {"peer.kind": "device", "peer.id": "mdm:7"}
    for proof in ({"principal.amr": ("hwk",)}, {}, {"principal.acr": "phr"}, {}):
        yield managed | proof


@cache
def documents() -> list[dict[str, Any]]:
    return [build_input(inquiry) for inquiry in inquiries()]


def asked(engine: EmbeddedEngine, point: str, document: Any) -> object:
    """Return what an engine answers, as far as two answers can be compared."""
    try:
        value = engine.evaluate_now(point, document)
    except Refused:
        return FAILS
    return "undefined" if value is UNDEFINED else canonical(value)


@cache
def fresh(name: str) -> list[object]:
    engine, point = policy(name).engine(), policy(name).point
    return [asked(engine, point, document) for document in documents()]


def remembered(engine: EmbeddedEngine, point: str, asking: Iterable[Inquiry]) -> Iterator[tuple[object, bool]]:
    """Yield what is answered to each question, and whether that was remembered."""
    memo = Memo(engine, Memory(1024**3, Metrics()))
    for inquiry in asking:
        key = memo.key(inquiry, point)
        known = memo.recall(key, inquiry.time) if key is not None else None
        if known is not None and known.result is not None:
            yield known.result.text, True
            continue
        answer = asked(engine, point, engine.document(inquiry, point))
        if key is not None and answer != FAILS:
            memo.remember(key, Remembered(Decision(allow=True), Told(str(answer))), inquiry.principal.expires_at)
        yield answer, False


# --- (a) remembered is fresh

# A document is sent as the places of its members in a list: most members come again in the next one.
_BATCH: Final = """
package batch

answers := [answer |
	some places in input.documents
	answer := one({{name: input.members[place] | some name, place in places}})
]

one(document) := [value] if {{
	value := data.{rule} with input as document
}} else := []
"""


def opa_answers(server: OPAServer, rule: str, asking: list[dict[str, Any]]) -> list[object]:
    """Return what OPA answers to many documents, some at a time."""
    status, said = server.request("PUT", "policies/batch", _BATCH.format(rule=rule.replace("/", ".")))
    assert status == 200, said
    answers: list[object] = []
    for start in range(0, len(asking), 2000):
        members: dict[str, int] = {}
        places = [
            {name: members.setdefault(json.dumps(value), len(members)) for name, value in document.items()}
            for document in asking[start : start + 2000]
        ]
        body = f'{{"input": {{"members": [{",".join(members)}], "documents": {json.dumps(places)}}}}}'
        status, said = server.request("POST", "data/batch/answers", body)
        assert status == 200, said
        answers += [canonical(answer[0]) if answer else "undefined" for answer in said["result"]]
    return answers


def load(server: OPAServer, loaded: Policy) -> None:
    server.request("PUT", "data", json.dumps(loaded.data))
    for index, module in enumerate(loaded.modules):
        status, said = server.request("PUT", f"policies/m{index}", module.text)
        assert status == 200, said


@pytest.mark.parametrize("name", NAMES)
def test_a_remembered_decision_is_the_one_that_either_engine_would_make_anew(name: str) -> None:
    loaded = policy(name)
    with opa_server() as server, ThreadPoolExecutor(1) as beside:
        load(server, loaded)
        opas = beside.submit(opa_answers, server, loaded.point, documents())
        answers = list(remembered(loaded.engine(), loaded.point, inquiries()))
        assert [answer for answer, _ in answers] == fresh(name)
        assert opas.result() == fresh(name)
    assert len(set(fresh(name))) > 1, "questions that all have one answer prove nothing"
    assert sum(was for _, was in answers) > PAIRS / 20, "nor do questions of which none is asked again"


# --- (b) what is read makes a miss, nothing else does


def differing(one: Any, other: Any, path: InputPath = ()) -> Iterator[InputPath]:
    """Yield the paths at which two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            if name not in one or name not in other:
                yield (*path, name)
            else:
                yield from differing(one[name], other[name], (*path, name))
    elif canonical(one) != canonical(other):
        yield path


def touches(changed: Iterable[InputPath], read: Iterable[InputPath]) -> bool:
    return any(one[: len(other)] == other or other[: len(one)] == one for one in changed for other in read)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_a_field_that_is_read_misses_and_of_any_other_one_hits(name: str) -> None:
    engine, point, dice = policy(name).engine(), policy(name).point, random.Random(7)
    memo, reads = Memo(engine, Memory(1024**3, Metrics())), engine.plan(point).reads
    hits = misses = 0
    for question in [usual(), *walk(9, 20, most=8)]:
        inquiry, document = posed(question), build_input(posed(question))
        key = memo.key(inquiry, point)
        assert key is not None
        memo.remember(key, Remembered(Decision(allow=True), None), float("inf"))
        for knob, other in turns(question, dice):
            turned = posed(other)
            changed = list(differing(document, build_input(turned)))
            read = turned.route != inquiry.route or touches(changed, reads.paths)
            other_key = memo.key(turned, point)
            assert other_key is not None
            assert (other_key == key) == (not read), (knob, changed)
            hits, misses = hits + (not read), misses + read
    assert hits > 0
    assert misses > 0


# --- (d) no path can be overlooked


def reads_of(name: str) -> list[tuple[str, InputPath]]:
    return [(name, path) for path in policy(name).engine().plan(policy(name).point).reads.paths]


@pytest.mark.parametrize(
    ("name", "path"),
    [each for name in NAMES for each in reads_of(name)],
    ids=lambda value: value if isinstance(value, str) else ".".join(value),
)
def test_each_path_that_were_overlooked_would_be_noticed(name: str, path: InputPath) -> None:
    loaded = policy(name)
    answers = remembered(loaded.engine(drop=path), loaded.point, inquiries())
    assert any(answer != right for (answer, _), right in zip(answers, fresh(name), strict=True))


# --- policies that dice write, and OPA's own


@pytest.fixture(scope="module")
def server() -> Iterator[OPAServer]:
    with opa_server() as running:
        yield running


def opas_agree(server: OPAServer, texts: list[str], data: Any, point: str, whole: list[Any], tree: Any) -> bool | None:
    """Tell whether OPA answers the same about the parts that are read; None: it does not load the policy."""
    server.request("PUT", "data", json.dumps(data))
    names = [f"policies/m{index}" for index in range(len(texts))]
    try:
        if any(server.request("PUT", name, text)[0] != 200 for name, text in zip(names, texts, strict=True)):
            return None
        return opa_answers(server, point, whole) == opa_answers(server, point, [cut(one, tree) for one in whole])
    finally:
        for name in ["policies/batch", *names]:
            server.request("DELETE", name, "")


@pytest.mark.parametrize("seed", range(40))
def test_a_written_policys_remembered_decision_is_the_fresh_one(seed: int, server: OPAServer) -> None:
    compiled, faults, _ = compile_policy([Module("written.rego", written(seed))], {}, [POINT])
    if compiled is None:
        assert all("recursive" in fault for fault in faults), faults
        return
    reader = Reader(json.loads(compiled.get_ast_as_json()))
    engine = EmbeddedEngine(compiled, "revision", 60.0, reader.reads)
    few = slice(seed * 250, (seed + 1) * 250)
    answers = [answer for answer, _ in remembered(engine, POINT, inquiries()[few])]
    assert answers == [asked(engine, POINT, document) for document in documents()[few]]
    tree = tree_of(reader.reads(POINT).paths)
    assert opas_agree(server, [written(seed)], {}, POINT, documents()[few], tree)


_QUESTION: Final = re.compile(r"data\.([A-Za-z0-9_.]+) = x")
_VALUES: Final = [None, True, 0, 1, 2.5, "", "a", "foo", "/a/b", [], [1], ["foo", "bar"], {}, {"a": 1}, {"foo": "bar"}]


@cache
def suite_cases() -> list[dict[str, Any]]:
    """Return the cases of OPA's compliance suite that ask for a rule and name the input."""
    cases = [case for category in suite_json("rego/cases.json").values() for case in category]
    return [
        case
        for case in cases
        if _QUESTION.fullmatch(case["query"]) and any("input" in text for text in case.get("modules") or [])
    ]


def varied(value: Any, dice: random.Random) -> Any:
    """Return a document with a value somewhere exchanged, added or taken away."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        name = dice.choice(sorted(value))
        rest = {each: below for each, below in value.items() if each != name}
        way = dice.random()
        if way < 0.15:
            return rest
        return {**value, "more": dice.choice(_VALUES)} if way < 0.3 else {**rest, name: varied(value[name], dice)}
    if isinstance(value, list) and value and dice.random() < 0.6:
        return [varied(item, dice) if dice.random() < 0.4 else item for item in value]
    return dice.choice(_VALUES)


def grown(paths: Iterable[InputPath], dice: random.Random) -> dict[str, Any]:
    """Return a document that has something at each path that is read."""
    document: dict[str, Any] = {}
    for path in paths:
        step = document
        for name in path[:-1]:
            step = step.setdefault(name, {})
            if not isinstance(step, dict):
                break
        else:
            if path:
                step[path[-1]] = dice.choice(_VALUES)
    return document


def test_opas_own_policies_answer_the_same_about_what_they_read(server: OPAServer) -> None:
    known = embedded = opas = 0
    for number, case in enumerate(suite_cases()):
        texts, data, dice = case["modules"], case.get("data") or {}, random.Random(number)
        engine = new_engine()
        try:
            for index, text in enumerate(texts):
                engine.add_policy(f"{index}.rego", text)
        except RuntimeError:
            continue  # of a syntax that the embedded engine does not know: nothing of it is remembered
        point = _QUESTION.fullmatch(case["query"])[1].replace(".", "/")  # type: ignore[index]
        reads = Reader(json.loads(engine.get_ast_as_json())).reads(point)
        tree = tree_of(reads.paths)
        known += 1
        given = case["input"] if isinstance(case.get("input"), dict) else {}
        whole = [given] + [varied({**grown(reads.paths, dice), **given}, dice) for _ in range(20)]
        whole = [document for document in whole if isinstance(document, dict)]
        compiled, _, undefined = compile_policy(
            [Module(f"{i}.rego", text) for i, text in enumerate(texts)], data, [point]
        )
        if compiled is not None and not undefined:
            embedded += 1
            serving = EmbeddedEngine(compiled, "suite", 60.0)
            for document in whole:
                assert asked(serving, point, document) == asked(serving, point, cut(document, tree)), case["note"]
        agree = opas_agree(server, texts, data, point, whole, tree)
        assert agree in (True, None), case["note"]
        opas += agree is True
    assert (known, embedded, opas) == (134, 118, 133)
