"""What a route's `allow` permits, and what is a mistake in it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.schema import Config
from proxy.identity.principal import Principal
from proxy.policy.allow import allow_mistakes, asks_for_user, route_data
from proxy.policy.input import Inquiry, build_input
from proxy.policy.reading import new_engine
from proxy.policy.sources import default_policy
from tests.policy.inquiries import ANA, ask, config, device, workload
from tests.policy.naive import decided

OPA = {"engine": "opa", "opa": {"url": "http://127.0.0.1:8181"}}
DECISION = "data.ztproxy.authz.decision"


@cache
def _policy() -> Any:
    engine = new_engine()
    engine.add_policy("authz.rego", default_policy().read_text(encoding="utf-8"))
    return engine


def _engine(settled: Config) -> Any:
    return _loaded(route_data(settled))


def _loaded(data: dict[str, Any]) -> Any:
    engine = _policy().clone()
    engine.add_data(data)
    return engine


def _route(data: dict[str, Any]) -> dict[str, Any]:
    route: dict[str, Any] = data["ztproxy"]["routes"]["wiki"]
    return route


def _decide(engine: Any, inquiry: Inquiry) -> dict[str, Any]:
    engine.set_input(build_input(inquiry))
    decision: dict[str, Any] = json.loads(engine.eval_rule_as_json(DECISION))
    return decision


def _reasons(allow: list[dict[str, Any]], inquiry: Inquiry, **sections: Any) -> list[str]:
    """Return the reasons of a decision; those of a permit begin with `allow[`."""
    settled = config(*allow, **sections)
    assert allow_mistakes(settled) == []
    decision = _decide(_engine(settled), inquiry)
    assert decision["allow"] == decision["reasons"][0].startswith("allow[")
    return list(decision["reasons"])


CI = workload("spiffe://example.org/ns/ci")
RUNNER = workload("spiffe://example.org/ns/ci/sa/runner")
CIRCUS = workload("spiffe://example.org/ns/circus")
FOREIGN = workload("spiffe://partner.example/ns/ci/sa/runner")
IMPOSTOR = workload("spiffe://example.org.evil/x")
LAPTOP = device("mdm:7")
UNVOUCHED = replace(ANA, id="ana@example.org", email="")
BOB = replace(ANA, id="user-2", email="bob@example.org", groups=(), claims={})

PERMITTED = "allow[0]"


@pytest.mark.parametrize(
    ("entry", "inquiry", "reason"),
    [
        # users
        ({"users": ["ana@example.org"]}, ask(principal=ANA), PERMITTED),
        ({"users": ["ana@EXAMPLE.org"]}, ask(principal=ANA), PERMITTED),
        ({"users": ["user-1"]}, ask(principal=ANA), PERMITTED),
        ({"users": ["bob@example.org", "user-1"]}, ask(principal=ANA), PERMITTED),
        ({"users": ["Ana@example.org"]}, ask(principal=ANA), "user-not-listed"),
        ({"users": ["ana@example.org"]}, ask(principal=replace(ANA, email="")), "user-not-listed"),
        ({"users": ["ana@example.org"]}, ask(principal=UNVOUCHED), "user-not-listed"),
        ({"users": ["user-1"]}, ask(principal=replace(ANA, id="x", email="user-1")), "user-not-listed"),
        ({"users": ["user-1"]}, ask(principal=BOB), "user-not-listed"),
        ({"users": ["user-1"]}, ask(), "not-a-user"),
        ({"users": [RUNNER.id]}, ask(peer=RUNNER), "not-a-user"),
        # groups
        ({"groups": ["engineering", "hr"]}, ask(principal=ANA), PERMITTED),
        ({"groups": ["engineer"]}, ask(principal=ANA), "group-not-listed"),
        ({"groups": ["engineering"]}, ask(principal=BOB), "group-not-listed"),
        # claims: values of a name are alternatives, names are not
        ({"claims": {"department": ["hr", "finance"]}}, ask(principal=ANA), PERMITTED),
        ({"claims": {"department": ["finance"], "level": [3]}}, ask(principal=ANA), "claim-not-listed"),
        ({"claims": {"level": [3]}}, ask(principal=replace(ANA, claims={"level": 3})), PERMITTED),
        ({"claims": {"level": [3]}}, ask(principal=replace(ANA, claims={"level": 3.0})), PERMITTED),
        ({"claims": {"level": [3]}}, ask(principal=replace(ANA, claims={"level": "3"})), "claim-not-listed"),
        ({"claims": {"level": [1]}}, ask(principal=replace(ANA, claims={"level": True})), "claim-not-listed"),
        ({"claims": {"staff": [True]}}, ask(principal=replace(ANA, claims={"staff": True})), PERMITTED),
        ({"claims": {"staff": [True]}}, ask(principal=replace(ANA, claims={"staff": 1})), "claim-not-listed"),
        ({"claims": {"staff": [False]}}, ask(principal=replace(ANA, claims={"staff": False})), PERMITTED),
        ({"claims": {"amr": ["mfa", "hwk"]}}, ask(principal=replace(ANA, claims={"amr": ["pwd", "hwk"]})), PERMITTED),
        ({"claims": {"amr": ["mfa"]}}, ask(principal=replace(ANA, claims={"amr": []})), "claim-not-listed"),
        ({"claims": {"amr": ["mfa"]}}, ask(principal=replace(ANA, claims={"amr": {"x": "mfa"}})), "claim-not-listed"),
        ({"claims": {"amr": ["mfa"]}}, ask(principal=replace(ANA, claims={"amr": [["mfa"]]})), "claim-not-listed"),
        ({"claims": {"amr": ["mfa"]}}, ask(principal=replace(ANA, claims={"amr": None})), "claim-not-listed"),
        # issuers: a trust domain that is called like an issuer is none
        ({"issuers": ["corp"]}, ask(principal=ANA), PERMITTED),
        ({"issuers": ["corp"]}, ask(principal=replace(ANA, issuer="other")), "issuer-not-listed"),
        ({"issuers": ["corp"]}, ask(peer=workload("spiffe://corp/x")), "not-a-user"),
        ({"groups": ["engineering"]}, ask(principal=replace(ANA, issuer="other")), "issuer-not-listed"),
        # workloads: the peer, never the token
        ({"workloads": [RUNNER.id]}, ask(peer=RUNNER), PERMITTED),
        ({"workloads": [RUNNER.id]}, ask(peer=RUNNER, principal=ANA), PERMITTED),
        ({"workloads": [RUNNER.id]}, ask(peer=CI), "workload-not-listed"),
        ({"workloads": [RUNNER.id]}, ask(principal=replace(ANA, id=RUNNER.id)), "workload-not-listed"),
        ({"workloads": ["spiffe://example.org/ns/ci/*"]}, ask(peer=RUNNER), PERMITTED),
        ({"workloads": ["spiffe://example.org/ns/ci/*"]}, ask(peer=CI), "workload-not-listed"),
        ({"workloads": ["spiffe://example.org/ns/ci/*"]}, ask(peer=CIRCUS), "workload-not-listed"),
        ({"workloads": ["spiffe://example.org/ns/ci/*"]}, ask(peer=FOREIGN), "workload-not-listed"),
        ({"workloads": ["spiffe://example.org/*"]}, ask(peer=IMPOSTOR), "workload-not-listed"),
        ({"workloads": ["spiffe://example.org/*"]}, ask(peer=CI), PERMITTED),
        ({"workloads": [RUNNER.id]}, ask(), "workload-not-listed"),
        # devices: the peer, never a workload, and nobody by themselves
        ({"devices": ["mdm:7"]}, ask(peer=LAPTOP), PERMITTED),
        ({"devices": ["mdm:7"]}, ask(peer=LAPTOP, principal=ANA), PERMITTED),
        ({"devices": ["mdm:*"]}, ask(peer=LAPTOP), PERMITTED),
        ({"devices": ["lab:*", "mdm:8"]}, ask(peer=LAPTOP), "device-not-listed"),
        ({"devices": ["mdm:*"]}, ask(peer=device("mdm2:7")), "device-not-listed"),
        ({"devices": ["mdm:7"]}, ask(peer=device("mdm:7:7")), "device-not-listed"),
        ({"devices": ["mdm:*"]}, ask(principal=replace(ANA, id="mdm:7")), "device-not-listed"),
        ({"devices": ["mdm:*"]}, ask(peer=RUNNER, principal=ANA), "device-not-listed"),
        ({"devices": ["mdm:*"]}, ask(), "device-not-listed"),
        ({"workloads": ["spiffe://example.org/*"]}, ask(peer=LAPTOP), "workload-not-listed"),
        ({"authenticated": True}, ask(peer=LAPTOP), "not-authenticated"),
        ({"authenticated": True}, ask(peer=LAPTOP, principal=ANA), PERMITTED),
        ({"users": ["mdm:7"]}, ask(peer=LAPTOP), "not-a-user"),
        ({"users": ["user-1"], "devices": ["mdm:*"]}, ask(principal=ANA, peer=LAPTOP), PERMITTED),
        ({"users": ["user-1"], "devices": ["mdm:*"]}, ask(principal=ANA, peer=RUNNER), "device-not-listed"),
        ({"users": ["user-1"], "devices": ["mdm:*"]}, ask(peer=LAPTOP), "not-a-user"),
        # a user, and from there
        ({"users": ["user-1"], "workloads": [RUNNER.id]}, ask(principal=ANA, peer=RUNNER), PERMITTED),
        ({"users": ["user-1"], "workloads": [RUNNER.id]}, ask(principal=ANA), "workload-not-listed"),
        ({"users": ["user-1"], "workloads": [RUNNER.id]}, ask(peer=RUNNER), "not-a-user"),
        # authenticated, anyone
        ({"authenticated": True}, ask(principal=ANA), PERMITTED),
        ({"authenticated": True}, ask(peer=RUNNER), PERMITTED),
        ({"authenticated": True}, ask(principal=replace(ANA, issuer="other"), peer=RUNNER), PERMITTED),
        ({"authenticated": True}, ask(peer=FOREIGN), "not-authenticated"),
        ({"authenticated": True}, ask(principal=replace(ANA, issuer="other")), "not-authenticated"),
        ({"authenticated": True}, ask(peer=workload("spiffe://corp/x")), "not-authenticated"),
        ({"authenticated": True}, ask(), "not-authenticated"),
        ({"anyone": True}, ask(), PERMITTED),
        # methods
        ({"anyone": True, "methods": ["GET"]}, ask("HEAD"), PERMITTED),
        ({"anyone": True, "methods": ["HEAD"]}, ask("GET"), "method-not-allowed"),
        ({"anyone": True, "methods": ["POST"]}, ask("HEAD"), "method-not-allowed"),
        # paths
        ({"anyone": True, "paths": ["/api"]}, ask(target="/api"), PERMITTED),
        ({"anyone": True, "paths": ["/api"]}, ask(target="/api/"), PERMITTED),
        ({"anyone": True, "paths": ["/api"]}, ask(target="/api/x/y"), PERMITTED),
        ({"anyone": True, "paths": ["/api"]}, ask(target="/apix"), "path-not-allowed"),
        ({"anyone": True, "paths": ["/api"]}, ask(target="/x/api"), "path-not-allowed"),
        ({"anyone": True, "paths": ["/api/"]}, ask(target="/api"), "path-not-allowed"),
        ({"anyone": True, "paths": ["/api/"]}, ask(target="/api/"), PERMITTED),
        ({"anyone": True, "paths": ["/api/"]}, ask(target="/api/x"), PERMITTED),
        ({"anyone": True, "paths": ["/a/b"]}, ask(target="/a%2Fb"), "path-not-allowed"),
        ({"anyone": True, "paths": ["/a%2Fb"]}, ask(target="/a%2fb/c"), PERMITTED),
        ({"anyone": True, "paths": ["/a b"]}, ask(target="/a%20b"), PERMITTED),
        ({"anyone": True, "paths": ["/"]}, ask(target="/any/where"), PERMITTED),
        # networks
        ({"anyone": True, "networks": ["10.0.0.0/8"]}, ask(source="10.9.9.9"), PERMITTED),
        ({"anyone": True, "networks": ["10.0.0.0/8"]}, ask(source="::ffff:10.9.9.9"), PERMITTED),
        ({"anyone": True, "networks": ["::ffff:10.0.0.0/104"]}, ask(source="10.9.9.9"), PERMITTED),
        ({"anyone": True, "networks": ["192.0.2.0/24", "2001:db8::/32"]}, ask(source="2001:db8::7"), PERMITTED),
        ({"anyone": True, "networks": ["10.0.0.0/8"]}, ask(source="11.0.0.1"), "network-not-allowed"),
        ({"anyone": True, "networks": ["::/0"]}, ask(source="11.0.0.1"), "network-not-allowed"),
        ({"anyone": True, "networks": ["0.0.0.0/0", "::/0"]}, ask(source=""), "network-not-allowed"),
        ({"anyone": True, "networks": ["0.0.0.0/0"]}, ask(source="unix:/run/x"), "network-not-allowed"),
    ],
)  # fmt: skip
def test_an_entry_reads_as_the_table_says(entry: dict[str, Any], inquiry: Inquiry, reason: str) -> None:
    assert reason in _reasons([entry], inquiry)


def _at(year: int, month: int, day: int, clock: str, zone: str) -> float:
    hour, minute = map(int, clock.split(":"))
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone)).timestamp()


OFFICE = {"days": ["mon", "fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (_at(2024, 11, 25, "08:00", "Europe/Berlin"), PERMITTED),
        (_at(2024, 11, 25, "07:59", "Europe/Berlin"), "outside-hours"),
        (_at(2024, 11, 25, "17:59", "Europe/Berlin"), PERMITTED),
        (_at(2024, 11, 25, "18:00", "Europe/Berlin"), "outside-hours"),
        (_at(2024, 11, 26, "12:00", "Europe/Berlin"), "outside-hours"),
        (_at(2024, 7, 1, "06:30", "UTC"), PERMITTED),  # 08:30 in summer
        (_at(2024, 12, 2, "06:30", "UTC"), "outside-hours"),  # 07:30 in winter
        (_at(2024, 3, 29, "17:30", "Europe/Berlin"), PERMITTED),
    ],
)
def test_hours_are_those_of_their_zone(time: float, reason: str) -> None:
    assert _reasons([{"anyone": True, "hours": OFFICE}], ask(time=time)) == [reason]


def test_a_window_may_end_with_the_day() -> None:
    late = {"days": ["sun"], "from": "22:00", "to": "24:00"}
    assert _reasons([{"anyone": True, "hours": late}], ask(time=_at(2024, 11, 24, "23:59", "UTC"))) == [PERMITTED]
    assert _reasons([{"anyone": True, "hours": late}], ask(time=_at(2024, 11, 25, "00:00", "UTC"))) == ["outside-hours"]


def test_every_entry_that_permits_is_named() -> None:
    allow = [{"anyone": True, "methods": ["POST"]}, {"anyone": True}, {"groups": ["engineering"]}]
    assert _reasons(allow, ask(principal=ANA)) == ["allow[1]", "allow[2]"]


def test_a_refusal_names_every_requirement_that_is_not_met_once() -> None:
    allow = [{"groups": ["hr"], "methods": ["POST"]}, {"groups": ["legal"]}, {"workloads": [RUNNER.id]}]
    assert _reasons(allow, ask(principal=ANA)) == ["group-not-listed", "method-not-allowed", "workload-not-listed"]


@pytest.mark.parametrize("route", ["other", "", "wiki2", "ztproxy"])
def test_a_route_without_data_is_closed(route: str) -> None:
    assert _reasons([{"anyone": True}], ask(route=route)) == ["route-not-open"]


@pytest.mark.parametrize("missing", ["name", "issuers", "methods", "groups", "paths", "further"])
def test_an_entry_that_lacks_a_key_permits_nothing(missing: str) -> None:
    data = route_data(config({"anyone": True}))
    del _route(data)["allow"][0][missing]
    assert not _decide(_loaded(data), ask())["allow"]


@pytest.mark.parametrize("missing", ["allow", "always"])
def test_a_route_that_lacks_a_key_permits_nothing(missing: str) -> None:
    data = route_data(config({"anyone": True}))
    del _route(data)[missing]
    assert not _decide(_loaded(data), ask())["allow"]


def test_an_issuer_of_the_route_is_meant_where_an_entry_names_none() -> None:
    route = {"authenticate": {"issuers": ["corp"]}}
    entry = {"groups": ["engineering"]}
    partner = replace(ANA, issuer="partner")
    assert _reasons([entry], ask(principal=ANA), issuers=("corp", "partner"), route=route) == [PERMITTED]
    assert "issuer-not-listed" in _reasons([entry], ask(principal=partner), issuers=("corp", "partner"), route=route)
    assert _reasons([{"authenticated": True}], ask(principal=partner), issuers=("corp", "partner"), route=route) == [
        "not-authenticated"
    ]


def test_every_zone_that_the_config_accepts_is_the_same_to_the_engine() -> None:
    zones = [zone for zone in sorted(available_timezones()) if not allow_mistakes(config(_all_sunday(zone)))]
    assert len(zones) > 400
    engine = new_engine()
    engine.add_policy("zones.rego", _CLOCKS)
    for time in (_at(2024, 1, 15, "23:30", "UTC"), _at(2024, 7, 15, "00:30", "UTC")):
        engine.set_input({"zones": zones, "time": int(time) * 10**9})
        local = {zone: datetime.fromtimestamp(time, ZoneInfo(zone)) for zone in zones}
        assert json.loads(engine.eval_rule_as_json("data.zones.clocks")) == {
            zone: [clock.strftime("%A"), [clock.hour, clock.minute, clock.second]] for zone, clock in local.items()
        }


_CLOCKS = """
package zones
import rego.v1
clocks[zone] := [time.weekday([input.time, zone]), time.clock([input.time, zone])] if some zone in input.zones
"""


def _all_sunday(zone: str) -> dict[str, Any]:
    return {"anyone": True, "hours": {"days": ["sun"], "from": "00:00", "to": "24:00", "zone": zone}}


# What `allow` means, held against a reading as slow as the table's.


def _some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2)


IDS = [
    "spiffe://example.org/ns/ci",
    "spiffe://example.org/ns/ci/sa",
    "spiffe://example.org/ns/circus",
    "spiffe://example.org",
    "spiffe://partner.example/ns/ci/sa",
    "spiffe://corp/ns",
]
PATHS = ["/", "/api", "/api/", "/api/v1", "/apix", "/a", "/a/b/c/"]
METHODS = ["GET", "HEAD", "POST", "DELETE"]
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "::/0"]
CLAIMS: list[Any] = ["finance", "hr", 1, True, False, 0, "", "1"]

HOURS = st.fixed_dictionaries(
    {
        "days": _some(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
        "from": st.sampled_from(["00:00", "08:00", "11:30"]),
        "to": st.sampled_from(["12:00", "23:59", "24:00"]),
        "zone": st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"]),
    }
)
SUBJECTS: dict[str, st.SearchStrategy[Any]] = {
    "users": _some(["ana@example.org", "bob@example.org", "user-1", "user-2", *IDS[:1]]),
    "groups": _some(["engineering", "staff", "hr"]),
    "claims": st.dictionaries(
        st.sampled_from(["department", "level"]), st.lists(st.sampled_from(CLAIMS), min_size=1, max_size=2), min_size=1
    ),
    "issuers": _some(["corp", "partner"]),
    "workloads": _some([*IDS, *(f"{spiffe_id}/*" for spiffe_id in IDS)]),
    "authenticated": st.just(True),
}
CONDITIONS = {
    "methods": _some(METHODS),
    "paths": _some(PATHS),
    "networks": _some(NETWORKS),
    "hours": HOURS,
}
ENTRIES = st.one_of(
    st.fixed_dictionaries({"anyone": st.just(True)}, optional=CONDITIONS),
    st.fixed_dictionaries({}, optional=SUBJECTS | CONDITIONS).filter(lambda entry: entry.keys() & SUBJECTS),
)
CLAIM = st.one_of(st.sampled_from([*CLAIMS, None, 1.0]), st.lists(st.sampled_from(CLAIMS), max_size=2))
USERS = st.builds(
    Principal,
    kind=st.just("user"),
    id=st.sampled_from(["user-1", "user-2", "ana@example.org", *IDS]),
    issuer=st.sampled_from(["corp", "partner", "example.org"]),
    email=st.sampled_from(["", "ana@example.org", "bob@example.org"]),
    groups=st.lists(st.sampled_from(["engineering", "staff", "hr", ""]), max_size=3).map(tuple),
    claims=st.dictionaries(st.sampled_from(["department", "level", "x"]), CLAIM, max_size=2),
    method=st.just("bearer"),
)
INQUIRIES = st.builds(
    ask,
    st.sampled_from(METHODS),
    st.sampled_from(["/", "/api", "/api/", "/api/v1", "/api/v1/x", "/apix", "/a/b", "/a%2Fb/c", "/a/b/c/d", "/API"]),
    principal=st.none() | USERS,
    peer=st.none() | st.sampled_from(IDS).map(workload),
    source=st.sampled_from(["10.1.2.3", "10.2.0.1", "192.0.2.1", "::ffff:10.1.2.3", "2001:db8::1", "fe80::1"]),
    time=st.integers(1_700_000_000, 1_760_000_000).map(float),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=12), st.booleans(), st.lists(INQUIRIES, min_size=25, max_size=25))
def test_the_default_policy_decides_as_a_naive_reading_does(
    entries: list[dict[str, Any]], route_names_issuer: bool, inquiries: list[Inquiry]
) -> None:
    asking = {"users", "groups", "claims", "issuers"}
    issuers = {"issuers": ["corp"]}
    if route_names_issuer:
        entries = [entry | issuers if "issuers" in entry else entry for entry in entries]
    else:
        entries = [issuers | entry if entry.keys() & asking else entry for entry in entries]
    route = {"authenticate": issuers} if route_names_issuer else {}
    settled = config(*entries, issuers=("corp", "partner"), route=route)
    assert allow_mistakes(settled) == []
    engine = _engine(settled)
    for inquiry in inquiries:
        assert _decide(engine, inquiry) == decided(settled, inquiry)


# Mistakes.


@pytest.mark.parametrize(
    ("entry", "path", "rule"),
    [
        ({"methods": ["GET"]}, "", "must say whom it allows"),
        ({"anyone": True, "groups": ["x"]}, ".anyone", "must not stand beside groups"),
        ({"anyone": True, "authenticated": True}, ".anyone", "must not stand beside authenticated"),
        ({"anyone": True, "methods": ["get"]}, ".methods[0]", 'no method is called "get" (did you mean "GET"?)'),
        ({"anyone": True, "methods": ["GET", "FETCH"]}, ".methods[1]", 'no method is called "FETCH"'),
        ({"anyone": True, "methods": ["TRACE"]}, ".methods[0]", "no method is called"),
        ({"anyone": True, "paths": ["api"]}, ".paths[0]", "path must begin with a slash"),
        ({"anyone": True, "paths": ["/", "/a/../b"]}, ".paths[1]", "path must not have empty or dot segments"),
        ({"workloads": ["example.org/ns"]}, ".workloads[0]", "spiffe id must begin with spiffe://"),
        ({"workloads": ["spiffe://example.org/ns/c*"]}, ".workloads[0]", "spiffe id path segments must hold only"),
        ({"devices": ["7"]}, ".devices[0]", "must be NAME:ID or NAME:*"),
        ({"devices": ["mdm:"]}, ".devices[0]", "must be NAME:ID or NAME:*"),
        ({"devices": ["*"]}, ".devices[0]", "must be NAME:ID or NAME:*"),
        ({"devices": ["mdm:7", "mdn:*"]}, ".devices[1]", 'client certificates are called "mdn" (did you mean "mdm"?)'),
        ({"devices": ["mdm:C02*"]}, ".devices[0]", "must name one device, or be mdm:* for all of them"),
        ({"devices": ["lab:Host.example.org"]}, ".devices[0]", "san.dns of a device must be in lower case"),
        ({"devices": ["prints:ab:cd"]}, ".devices[0]", "64 lower-case hexadecimal digits"),
        ({"devices": ["mdm: 7"]}, ".devices[0]", "printable characters, no space around them"),
        ({"devices": ["mdm:*"], "workloads": [CI.id]}, ".devices", "must not stand beside workloads"),
        ({"anyone": True, "devices": ["mdm:*"]}, ".anyone", "must not stand beside devices"),
        ({"workloads": ["spiffe://*"]}, ".workloads[0]", "spiffe id must begin with spiffe://"),
        (
            {"anyone": True, "hours": OFFICE | {"zone": "Europe/Berln"}},
            ".hours.zone",
            '(did you mean "Europe/Berlin"?)',
        ),
        ({"users": ["@example.org"]}, ".users[0]", "must be one whole e-mail address"),
        ({"users": ["ana", "*@example.org"]}, ".users[1]", "must be one whole e-mail address"),
        ({"users": ["ana@a@example.org"]}, ".users[0]", "must be one whole e-mail address"),
        ({"anyone": True, "hours": OFFICE | {"zone": "localtime"}}, ".hours.zone", "no time zone is called"),
        ({"anyone": True, "hours": OFFICE | {"from": "22:00", "to": "06:00"}}, ".hours.to", "must be later than from"),
        ({"anyone": True, "hours": OFFICE | {"from": "08:00", "to": "08:00"}}, ".hours.to", "must be later than from"),
    ],
)
def test_a_mistake_is_found_where_it_is(entry: dict[str, Any], path: str, rule: str) -> None:
    mistakes = allow_mistakes(config({"anyone": True}, entry))
    assert [mistake.path for mistake in mistakes] == [f"routes[0].allow[1]{path}"]
    assert rule in mistakes[0].rule


@pytest.mark.parametrize(
    ("entry", "path", "rule"),
    [
        ({"workloads": [CI.id, "spiffe://example.com/*"]}, "workloads[1]", "example.com has no trust bundle"),
        ({"anyone": True, "paths": ["/wiki/x", "/", "/api/"]}, "paths[2]", "the route has /wiki alone"),
    ],
)
def test_what_can_never_match_is_a_warning(entry: dict[str, Any], path: str, rule: str) -> None:
    settled = config(entry, route={"path": "/wiki"})
    [mistake] = allow_mistakes(settled)
    assert (mistake.path, mistake.severity) == (f"routes[0].allow[0].{path}", "warning")
    assert rule in mistake.rule
    assert len(_route(route_data(settled))["allow"]) == 1


PAIR = {"certificate": "/etc/ztproxy/edge.pem", "key": "/etc/ztproxy/edge.key"}
MUTUAL = {
    "name": "mutual",
    "address": "127.0.0.1:1",
    "tls": {"certificates": [{"hosts": ["a.test"], **PAIR}, {"hosts": "*", "client_certificates": "required", **PAIR}]},
}
ONE_SIDED = {"name": "one-sided", "address": "127.0.0.1:2", "tls": PAIR}
PLAIN = {"name": "plain", "address": "127.0.0.1:3", "plaintext": True}


@pytest.mark.parametrize(
    ("listeners", "named", "warned"),
    [
        ([PLAIN, ONE_SIDED], None, True),
        ([PLAIN, ONE_SIDED, MUTUAL], ["plain", "one-sided"], True),
        ([PLAIN, ONE_SIDED, MUTUAL], None, False),
        ([PLAIN, ONE_SIDED, MUTUAL], ["plain", "mutual"], False),
        ([PLAIN], ["nobody"], False),
    ],
)
@pytest.mark.parametrize(("key", "one"), [("workloads", CI.id), ("devices", "mdm:*")])
def test_certificates_where_none_can_be_shown_are_a_warning(
    listeners: list[dict[str, Any]], named: list[str] | None, warned: bool, key: str, one: str
) -> None:
    settled = config({key: [one]}, {"groups": ["x"]}, listeners=listeners, route={"listeners": named})
    told = [(mistake.path, mistake.severity) for mistake in allow_mistakes(settled)]
    assert told == ([(f"routes[0].allow[0].{key}", "warning")] if warned else [])
    assert len(_route(route_data(settled))["allow"]) == 2


def _vouched(**domains: list[str]) -> dict[str, Any]:
    """Return an `identity` of issuers that vouch for these domains."""
    return {
        "issuers": {
            name: {"issuer": f"https://{name}.test", "bearer": {"audiences": ["a"]}, "email_domains": listed}
            for name, listed in domains.items()
        }
    }


@pytest.mark.parametrize(
    ("domains", "entry", "authenticate", "warned"),
    [
        ({"corp": ["Example.org"]}, {"users": ["user-1", "ana@EXAMPLE.org", "bob@sub.example.org"]}, {}, [2]),
        ({"corp": ["a.test", "b.test"]}, {"users": ["x@b.test", "x@c.test", "y@c.test"]}, {}, [1, 2]),
        ({"corp": []}, {"users": ["x@c.test"]}, {}, []),
        ({"corp": ["a.test"], "any": []}, {"users": ["x@c.test"], "issuers": ["corp", "any"]}, {}, []),
        ({"corp": ["a.test"], "any": []}, {"users": ["x@c.test"], "issuers": ["corp"]}, {}, [0]),
        ({"corp": ["a.test"], "any": []}, {"users": ["x@c.test"]}, {"issuers": ["corp"]}, [0]),
        ({"corp": ["a.test"], "b": ["b.test"]}, {"users": ["x@b.test"], "issuers": ["corp", "b"]}, {}, []),
        ({"corp": ["a.test"]}, {"users": ["x@c.test"], "issuers": ["corp", "unknown"]}, {}, []),
    ],
)
def test_an_address_that_no_issuer_vouches_for_is_a_warning(
    domains: dict[str, list[str]], entry: dict[str, Any], authenticate: dict[str, Any], warned: list[int]
) -> None:
    mistakes = allow_mistakes(config(entry, identity=_vouched(**domains), route={"authenticate": authenticate}))
    assert [mistake.path for mistake in mistakes] == [f"routes[0].allow[0].users[{index}]" for index in warned]
    assert all(mistake.severity == "warning" and "email_domains" in mistake.rule for mistake in mistakes)


@pytest.mark.parametrize("key", ["users", "groups"])
def test_of_several_issuers_an_entry_or_its_route_names_one(key: str) -> None:
    entry = {key: ["x"]}
    several = ("corp", "partner")
    mistakes = allow_mistakes(config(entry, issuers=several))
    assert [mistake.path for mistake in mistakes] == [f"routes[0].allow[0].{key}"]
    assert allow_mistakes(config(entry | {"issuers": ["corp"]}, issuers=several)) == []
    assert allow_mistakes(config(entry, issuers=several, route={"authenticate": {"issuers": ["corp"]}})) == []
    assert allow_mistakes(config(entry, issuers=("corp",))) == []


def test_claims_name_their_issuer_too() -> None:
    mistakes = allow_mistakes(config({"claims": {"department": ["finance"]}}, issuers=("corp", "partner")))
    assert [mistake.path for mistake in mistakes] == ["routes[0].allow[0].claims"]


def test_an_issuer_that_the_route_does_not_read_is_a_mistake() -> None:
    route = {"authenticate": {"issuers": ["corp"]}}
    entry = {"groups": ["x"], "issuers": ["corp", "partner"]}
    mistakes = allow_mistakes(config(entry, issuers=("corp", "partner"), route=route))
    assert [mistake.path for mistake in mistakes] == ["routes[0].allow[0].issuers[1]"]


def test_a_user_cannot_be_asked_for_where_no_token_is_read() -> None:
    without_issuers = allow_mistakes(config({"users": ["x"]}, issuers=()))
    without_header = allow_mistakes(config({"users": ["x"]}, route={"authenticate": {"header": "none"}}))
    assert [mistake.path for mistake in without_issuers + without_header] == ["routes[0].allow[0].users"] * 2


def test_a_route_that_nothing_could_open_is_a_mistake() -> None:
    assert [mistake.path for mistake in allow_mistakes(config())] == ["routes[0]"]
    assert allow_mistakes(config(policy={"path": "/etc/ztproxy/policies"})) == []
    assert allow_mistakes(config(policy=OPA)) == []


def test_all_mistakes_are_found_at_once() -> None:
    mistakes = allow_mistakes(config({"methods": ["get"], "paths": ["api"]}, {"anyone": True, "users": ["x"]}))
    assert [mistake.path for mistake in mistakes] == [
        "routes[0].allow[0]",
        "routes[0].allow[0].methods[0]",
        "routes[0].allow[0].paths[0]",
        "routes[0].allow[1].anyone",
    ]


def test_an_entry_with_a_mistake_opens_nothing() -> None:
    data = route_data(config({"methods": ["GET"]}, {"anyone": True, "paths": ["api"]}, {"groups": ["x"]}))
    assert [entry["name"] for entry in _route(data)["allow"]] == ["allow[2]"]


@pytest.mark.parametrize(
    ("entries", "sections", "asks"),
    [
        ([{"users": ["x"]}], {}, True),
        ([{"anyone": True}, {"groups": ["x"]}], {}, True),
        ([{"authenticated": True}], {}, True),
        ([{"anyone": True, "methods": ["GET"]}], {}, False),
        ([{"workloads": [RUNNER.id]}], {}, False),
        ([{"authenticated": True}], {"issuers": ()}, False),
        ([{"authenticated": True}], {"route": {"authenticate": {"header": "none"}}}, False),
        ([], {"policy": {"path": "/etc/ztproxy/policies"}}, True),
        ([], {"policy": {"path": "/etc/ztproxy/policies"}, "issuers": ()}, False),
        # an OPA server with the default policy is as the embedded engine with it
        ([{"workloads": [RUNNER.id]}], {"policy": OPA}, False),
        ([{"anyone": True}], {"policy": OPA}, False),
        ([{"groups": ["x"]}], {"policy": OPA}, True),
        ([{"authenticated": True}], {"policy": OPA}, True),
        ([], {"policy": OPA}, True),
        ([{"workloads": [RUNNER.id]}], {"policy": OPA | {"decision": "shop/authz/allow"}}, True),
        ([{"workloads": [RUNNER.id]}], {"policy": OPA, "route": {"decision": "shop/authz/allow"}}, True),
        (
            [{"workloads": [RUNNER.id]}],
            {"policy": OPA | {"decision": "shop/authz/allow"}, "route": {"decision": "ztproxy/authz/decision"}},
            False,
        ),
    ],
)
def test_a_route_asks_for_a_user_where_one_could_be_permitted(
    entries: list[dict[str, Any]], sections: dict[str, Any], asks: bool
) -> None:
    settled = config(*entries, **sections)
    assert asks_for_user(settled.routes[0], settled) is asks
