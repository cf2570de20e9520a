"""The desk by itself: what it opens, whom it believes, and what it says of what it cannot take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.policy.decision import UNDEFINED
from proxy.workbench.case import Case, Who
from proxy.workbench.desk import CannotRun, Desk
from proxy.workbench.documents import case_of
from tests.opa import ROOT

NOON = 1732447140.25
CONFIG: dict[str, Any] = {
    "version": 1,
    "trust_domain": "example.org",
    "listeners": [
        {"name": "edge", "address": "127.0.0.1:8443",
         "tls": {"certificate": "edge.pem", "key": "edge.key", "client_certificates": "optional"}},
    ],
    "sign_in": {"host": "access.example.org"},
    "identity": {
        "trust_bundles": {"example.org": "ca.pem"},
        "client_certificates": [{"name": "mdm", "ca": "mdm.pem", "kind": "device", "id": "subject.common_name"}],
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.org",
                "email_domains": ["example.org"],
                "claims": {"groups": "realm_access.roles"},
                "bearer": {"audiences": ["ztproxy"]},
                "login": {"client_id": "ztproxy", "client_secret_file": "corp.secret"},
            },
            "partner": {"issuer": "https://partner.example", "bearer": {"audiences": ["ztproxy"]}},
        },
    },
    "upstreams": {"wiki": {"endpoints": ["http://127.0.0.1:8080"]}},
    "routes": [
        {"name": "wiki", "host": "wiki.example.org", "upstream": "wiki",
         "authenticate": {"issuers": ["corp"], "sign_in": True},
         "allow": [
             {"groups": ["engineering"]},
             {"users": ["ana@example.org"], "devices": ["mdm:*"], "paths": ["/admin/"]},
             {"anyone": True, "networks": ["10.0.0.0/8"], "paths": ["/inside/"]},
         ]},
        {"name": "both", "host": "both.example.org", "upstream": "wiki",
         "allow": [{"groups": ["engineering"], "issuers": ["corp"]}]},
    ],
}  # fmt: skip
WIKI = "https://wiki.example.org"
BROWSER = (("Accept", "text/html"),)
ENGINEER = Who(user="ana", groups=("engineering",))


def write(folder: Path, **changes: Any) -> Path:
    file = folder / "ztproxy.yaml"
    file.write_text(yaml.safe_dump(CONFIG | changes), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.open(write(tmp_path_factory.mktemp("desk")))


# what it opens


def test_a_desk_needs_no_certificate_key_or_secret_that_the_config_names(desk: Desk) -> None:
    assert desk.decide(Case("GET", f"{WIKI}/", ENGINEER)).allow


def test_a_desk_needs_a_config_or_a_policy() -> None:
    with pytest.raises(CannotRun, match="must be named"):
        Desk.open(None)


def test_a_config_with_mistakes_is_told_as_check_tells_it(tmp_path: Path) -> None:
    file = write(tmp_path, routes=[CONFIG["routes"][0] | {"allow": [{"methods": ["get"]}]}])
    with pytest.raises(CannotRun) as told:
        Desk.open(file)
    assert all(str(line).startswith(f"{file}:") for line in told.value.args)
    assert any("must say whom it allows" in line for line in told.value.args)
    file.write_text("version: 2\n", encoding="utf-8")
    with pytest.raises(CannotRun, match="trust_domain"):
        Desk.open(file)


def test_a_policy_that_does_not_load_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text("package p\n\nimport rego.v1\n\ndecision if x == y\n", encoding="utf-8")
    with pytest.raises(CannotRun, match=r"p\.rego:5:13: .*variable x is unsafe"):
        Desk.open(None, tmp_path)


def test_a_policy_of_an_opa_server_is_nowhere_to_be_read(tmp_path: Path) -> None:
    file = write(tmp_path, policy={"engine": "opa", "opa": {"url": "http://127.0.0.1:9"}})
    with pytest.raises(CannotRun, match="name a copy of it"):
        Desk.open(file)
    assert Desk.open(file, ROOT / "policies" / "examples" / "roles", "examples/roles/decision").routes


@pytest.mark.parametrize(
    ("rules", "decision"),
    [
        ({"a": "allow := true"}, "a/allow"),
        ({"a": "allow := true", "b": "decision := true"}, "b/decision"),
        ({"ztproxy.authz": "decision := true", "b": "decision := true"}, "ztproxy/authz/decision"),
    ],
)
def test_the_rule_that_decides_is_found_where_it_is_the_only_one(
    tmp_path: Path, rules: dict[str, str], decision: str
) -> None:
    for package, rule in rules.items():
        (tmp_path / f"{package}.rego").write_text(f"package {package}\n\nimport rego.v1\n\n{rule}\n", encoding="utf-8")
    assert Desk.open(None, tmp_path).decide(Case("GET", "https://a.example/")).point == decision


def test_of_several_rules_that_might_decide_one_must_be_named(tmp_path: Path) -> None:
    for package in ("a", "b"):
        (tmp_path / f"{package}.rego").write_text(f"package {package}\n\nallow := true\n", encoding="utf-8")
    with pytest.raises(CannotRun, match=r"must be named .*: a/allow, b/allow"):
        Desk.open(None, tmp_path)
    assert Desk.open(None, tmp_path, "b/allow").decide(Case("GET", "https://a.example/")).point == "b/allow"


def test_a_policy_without_a_rule_that_might_decide_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package a\n\nyes := true\n", encoding="utf-8")
    with pytest.raises(CannotRun, match="no rule is called decision or allow"):
        Desk.open(None, tmp_path)
    with pytest.raises(CannotRun, match="there is no such file or folder"):
        Desk.open(None, tmp_path / "nowhere")


# who asks


def test_groups_stand_where_the_issuer_tells_them(desk: Desk) -> None:
    shown = desk.decide(Case("GET", f"{WIKI}/", ENGINEER)).input
    assert shown is not None
    assert shown["principal"]["groups"] == ["engineering"]
    assert shown["principal"]["claims"]["realm_access"] == {"roles": ["engineering"]}


def test_an_address_of_a_domain_that_the_issuer_does_not_vouch_for_is_none(desk: Desk) -> None:
    ours, theirs = (
        Who(user="ana", email=f"ana@{domain}", device="mdm:7") for domain in ("example.org", "evil.example")
    )
    assert desk.decide(Case("GET", f"{WIKI}/admin/x", ours)).allow
    refused = desk.decide(Case("GET", f"{WIKI}/admin/x", theirs))
    assert (refused.status, refused.code) == (403, "policy_denied")


def test_an_issuer_that_the_route_does_not_take_is_no_issuer_of_it(desk: Desk) -> None:
    refused = desk.decide(Case("GET", f"{WIKI}/", replace(ENGINEER, issuer="partner")))
    assert (refused.status, refused.code, refused.detail) == (401, "token_invalid", "issuer must be one of the route's")


def test_of_several_issuers_the_users_must_be_named(desk: Desk) -> None:
    case = Case("GET", "https://both.example.org/", ENGINEER)
    with pytest.raises(ValueError, match="must be named: one of corp, partner"):
        desk.decide(case)
    assert desk.decide(replace(case, who=replace(ENGINEER, issuer="partner"))).status == 403
    assert desk.decide(replace(case, who=replace(ENGINEER, issuer="corp"))).allow


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (Who(user="ana", issuer="crop"), r'no issuer is called "crop" \(did you mean "corp"\?\)'),
        (Who(device="mdn:7"), r'no client certificates are called "mdn" \(did you mean "mdm"\?\)'),
        (Who(device="mdm"), "must be NAME:ID"),
        (Who(workload="spiffe://example.com/x"), r'no trust bundle is of "example.com"'),
        (Who(workload="https://example.org/x"), "must begin with spiffe://"),
        (Who(workload="spiffe://example.org/x", device="mdm:7"), "has one client certificate"),
    ],
)
def test_somebody_who_cannot_be_is_an_error_and_no_refusal(desk: Desk, who: Who, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        desk.decide(Case("GET", f"{WIKI}/", who))


def test_without_a_config_everybody_could_be(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(
        'package a\n\nimport rego.v1\n\nallow if {\n\tinput.principal.issuer == "x"\n\tinput.peer.id == "mdn:7"\n}\n',
        "utf-8",
    )
    who = Who(user="ana", issuer="x", device="mdn:7")
    assert Desk.open(None, tmp_path).decide(Case("GET", "https://a.example/", who)).allow


def test_a_browser_comes_with_a_session_and_a_program_with_a_token(desk: Desk) -> None:
    browser = desk.decide(Case("GET", f"{WIKI}/", ENGINEER, BROWSER)).input
    program = desk.decide(Case("GET", f"{WIKI}/", ENGINEER)).input
    assert browser is not None
    assert program is not None
    assert (browser["principal"]["method"], program["principal"]["method"]) == ("session", "bearer")


def test_a_browser_without_a_session_is_led_to_sign_in(desk: Desk) -> None:
    outcome = desk.decide(Case("GET", f"{WIKI}/", headers=BROWSER))
    assert (outcome.status, outcome.code) == (303, "credentials_missing")
    assert desk.decide(Case("POST", f"{WIKI}/", headers=BROWSER)).status == 401


def test_what_changes_something_on_a_session_comes_from_the_applications_own_pages(desk: Desk) -> None:
    case = Case("POST", f"{WIKI}/", replace(ENGINEER, method="session"))
    assert desk.decide(case).allow
    refused = desk.decide(replace(case, headers=(("Origin", "https://evil.example"),)))
    assert (refused.status, refused.code) == (403, "cross_site_refused")


def test_a_service_token_is_a_user_of_ours(desk: Desk) -> None:
    outcome = desk.decide(Case("GET", "https://both.example.org/", Who(user="ci", method="service_token")))
    assert outcome.input is not None
    assert (outcome.input["principal"]["id"], outcome.input["principal"]["issuer"]) == ("service:ci", "ztproxy")


GATEWAY = "spiffe://example.org/gateway"


def test_a_user_of_another_gateway_comes_on_its_connection_alone(tmp_path: Path) -> None:
    vouched = {"kind": "assertion", "jwks_file": "gateway.json", "from": [GATEWAY]}
    issuers = CONFIG["identity"]["issuers"] | {"front": vouched}
    route = {"name": "inner", "host": "inner.example.org", "upstream": "wiki", "allow": [{"users": ["ana"]}],
             "authenticate": {"issuers": ["front"]}}  # fmt: skip
    inner = Desk.open(write(tmp_path, identity=CONFIG["identity"] | {"issuers": issuers}, routes=[route]))
    case = Case("GET", "https://inner.example.org/", Who(user="ana", workload=GATEWAY))
    outcome = inner.decide(case)
    assert outcome.allow
    assert outcome.input is not None
    assert (outcome.input["principal"]["method"], outcome.input["principal"]["issuer"]) == ("assertion", "front")
    for workload in (None, "spiffe://example.org/other"):
        elsewhere = inner.decide(replace(case, who=Who(user="ana", workload=workload)))
        assert not elsewhere.allow
        assert elsewhere.notes == ("route inner does not take this assertion: user ana is not seen",)


def test_an_issuer_proves_users_only_as_it_is_configured_to(tmp_path: Path) -> None:
    issuers = CONFIG["identity"]["issuers"]
    staff = {name: value for name, value in issuers["corp"].items() if name != "bearer"}
    machines = {name: value for name, value in issuers["partner"].items() if name != "login"}
    changed = CONFIG["identity"] | {"issuers": {"corp": staff, "partner": machines}}
    wiki = CONFIG["routes"][0] | {"authenticate": {"sign_in": True}, "allow": [{"authenticated": True}]}
    desk = Desk.open(write(tmp_path, identity=changed, routes=[wiki]))
    case = Case("GET", f"{WIKI}/", replace(ENGINEER, issuer="corp"))
    session = desk.decide(case)
    assert session.input is not None
    assert session.input["principal"]["method"] == "session"
    assert desk.decide(replace(case, who=replace(case.who, method="bearer"))).code == "token_invalid"
    with pytest.raises(ValueError, match="nobody has a session of partner: it has no login"):
        desk.decide(replace(case, who=replace(ENGINEER, issuer="partner", method="session")))


def test_there_are_service_tokens_where_sessions_are_kept(tmp_path: Path) -> None:
    robot = Case("GET", "https://both.example.org/", Who(user="ci", method="service_token"))
    assert Desk.open(write(tmp_path)).decide(robot).code == "policy_denied"
    route = CONFIG["routes"][1]
    without = {name: value for name, value in CONFIG.items() if name != "sign_in"} | {"routes": [route]}
    issuers = {"corp": CONFIG["identity"]["issuers"]["partner"]}
    (tmp_path / "other.yaml").write_text(
        yaml.safe_dump(without | {"identity": CONFIG["identity"] | {"issuers": issuers}}), encoding="utf-8"
    )
    assert Desk.open(tmp_path / "other.yaml").decide(robot).code == "token_invalid"


@pytest.mark.parametrize("token", [f"ztst_{'a' * 43}", f"ztcl_{'a' * 43}"])
def test_a_token_that_only_the_store_knows_is_noted(desk: Desk, token: str) -> None:
    outcome = desk.decide(Case("GET", f"{WIKI}/", headers=(("Authorization", f"Bearer {token}"),)))
    assert (outcome.code, outcome.notes) == ("token_invalid", ("the token is not known here: say whose it is",))


def test_a_session_that_a_cookie_names_is_noted(desk: Desk) -> None:
    outcome = desk.decide(Case("GET", f"{WIKI}/", headers=(("Cookie", f"__Host-ztproxy={'a' * 43}"),)))
    assert outcome.notes == ("the session that the cookie names is not known here: say whose it is",)


def test_a_credential_that_the_route_does_not_read_is_noted(desk: Desk) -> None:
    outcome = desk.decide(Case("GET", "https://both.example.org/", replace(ENGINEER, method="session", issuer="corp")))
    assert outcome.notes == ("route both reads no session: user ana is not seen",)
    assert outcome.status == 401


def test_a_source_is_the_clients(desk: Desk) -> None:
    assert desk.decide(Case("GET", f"{WIKI}/inside/x", source="10.1.2.3")).allow
    assert not desk.decide(Case("GET", f"{WIKI}/inside/x")).allow


# where to


def test_the_portals_pages_are_its_own(desk: Desk) -> None:
    for url in (f"{WIKI}/.ztproxy/who", "https://access.example.org/", "https://access.example.org/.ztproxy/"):
        outcome = desk.decide(Case("GET", url))
        assert (outcome.status, outcome.code, outcome.allow) == (0, "own_page", False)


def test_a_listener_that_requires_certificates_does_not_answer_without_one(tmp_path: Path) -> None:
    tls = {"certificates": [
        {"certificate": "a.pem", "key": "a.key", "hosts": ["wiki.example.org"], "client_certificates": "required"},
        {"certificate": "b.pem", "key": "b.key", "hosts": ["*.example.org"]},
    ]}  # fmt: skip
    strict = Desk.open(write(tmp_path, listeners=[{"name": "edge", "address": "127.0.0.1:1", "tls": tls}]))
    assert strict.decide(Case("GET", f"{WIKI}/", ENGINEER)).code == "handshake_failed"
    assert strict.decide(Case("GET", f"{WIKI}/", replace(ENGINEER, device="mdm:7"))).allow
    other = strict.decide(Case("GET", "https://both.example.org/", replace(ENGINEER, issuer="corp", device="mdm:7")))
    assert other.notes == ("listener edge asks for no client certificate: mdm:7 is not seen",)


def test_a_listener_that_is_not_there_is_told(desk: Desk) -> None:
    with pytest.raises(ValueError, match='no listener is called "egde"'):
        desk.decide(Case("GET", f"{WIKI}/", listener="egde"))


@pytest.mark.parametrize("case", [Case("GET", f"{WIKI}/", headers=(("x", "a\r\nb: c"),)), Case("GET\n", f"{WIKI}/")])
def test_what_no_client_could_write_is_an_error(desk: Desk, case: Case) -> None:
    with pytest.raises(ValueError, match="must each be one line"):
        desk.decide(case)


# documents


def test_a_document_is_judged_as_the_request_that_made_it(desk: Desk) -> None:
    for case in (
        Case("GET", f"{WIKI}/", ENGINEER),
        Case("GET", f"{WIKI}/", Who(user="bob")),
        Case("GET", f"{WIKI}/"),
        Case("GET", f"{WIKI}/admin/x", Who(user="ana", email="ana@example.org", device="mdm:7"), time=NOON),
    ):
        made = desk.decide(case)
        assert made.input is not None
        for again in (desk.evaluate(made.input), desk.decide(case_of(made.input))):
            assert (again.status, again.code, again.reasons) == (made.status, made.code, made.reasons)


def test_a_document_may_be_part_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(
        'package a\n\nimport rego.v1\n\ndecision := {"allow": true, "require": {"max_age": 60}} if input.x == 1\n',
        "utf-8",
    )
    alone = Desk.open(None, tmp_path)
    assert alone.evaluate({"x": 2}).decision is UNDEFINED
    assert alone.evaluate({"x": 1}).code == "step_up_required"
    user = {"kind": "user", "id": "ana", "authentication": {"time": NOON - 30}}
    fresh = {"x": 1, "principal": user, "time": {"unix_ns": int(NOON * 1e9)}}
    assert alone.evaluate(fresh).allow


def test_a_document_that_no_engine_may_see_is_an_error(desk: Desk) -> None:
    with pytest.raises(ValueError, match="integers must fit"):
        desk.evaluate({"x": 2**70})
    with pytest.raises(ValueError, match="must be a rule that the policy or a route names"):
        desk.evaluate({}, "other/rule")
