"""The public suite of path and host confusion against the running gateway, by everybody who could profit from it.

The routes are those that the suite's `policy` speaks of, on a host that refuses `%2F` and on one that keeps it. What is
not refused as malformed must be answered like the path that a lenient server would make of it, whoever asks.
"""

from __future__ import annotations

import re
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.server.suite_world import Case, Trial
from tests.suites import suite, suite_json
from tests.world import World, config

CASES: dict[str, Any] = {case["id"]: case for case in suite_json("paths/cases.json")["cases"]}
TARGETS = {name: case for name, case in CASES.items() if "request_target" in case}
LINES = {name: case for name, case in CASES.items() if "request_line" in case}
HOSTS = {name: case for name, case in CASES.items() if "host_header" in case}
RETURN_URLS: list[str] = re.findall(
    r'", "(.*?)", (?:true|false)\)', suite("paths/open-redirect-entries.txt").read_text()
)

PLACES = ("proxy.example", "keep.example")  # the second keeps %2F
SECRET, PUBLIC = "secret.example.com", "public.example.com"
PEOPLE = {"nobody": None, "ben": ["sales"], "ana": ["admin"]}

_PATHS = """\
  - name: {name}
    host: {host}
    upstream: wiki
    encoded_slashes: {slashes}
    allow:
      - {{anyone: true, paths: [/public, /bypass]}}
      - {{authenticated: true, paths: [/a/longer/rule]}}
      - {{groups: [admin], paths: [/admin]}}
  - name: {name}-api
    host: {host}
    path: /api
    upstream: wiki
    encoded_slashes: {slashes}
    rewrite: {{strip_prefix: /api}}
    allow: [{{anyone: true}}]
"""
ROUTES = (
    "".join(
        _PATHS.format(name=host.partition(".")[0], host=host, slashes=slashes)
        for host, slashes in zip(PLACES, ("refuse", "keep"), strict=True)
    )
    + f"""\
  - {{name: public, host: {PUBLIC}, upstream: wiki, allow: [{{anyone: true}}]}}
  - {{name: moved, host: moved.example, redirect: "https://new.example"}}
  - name: secret
    host: {SECRET}
    upstream: wiki
    allow: [{{groups: [admin], workloads: ["spiffe://example.org/ns/shop/*"]}}]
"""
)
_OPEN_TLS = "{certificate: edge.pem, key: edge.key, hosts: [public.example.com]}"
_SHUT_TLS = "{certificate: edge.pem, key: edge.key, hosts: [secret.example.com], client_certificates: required}"
LISTENERS = f"""\
  - {{name: plain, address: "127.0.0.1:0", plaintext: true}}
  - {{name: insecure, address: "127.0.0.1:0", plaintext: true, serves: https_redirect}}
  - {{name: edge, address: "127.0.0.1:0", tls: {{certificate: edge.pem, key: edge.key, client_certificates: optional}}}}
  - {{name: named, address: "127.0.0.1:0", tls: {{certificates: [{_OPEN_TLS}, {_SHUT_TLS}]}}}}"""

REQUEST = "{} HTTP/1.1\r\nHost: {}\r\n{}Connection: close\r\n\r\n"


def unescaped(text: str) -> bytes:
    r"""Return the bytes that a suite spells with `\xff` and `\t`."""
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def spellings(line: str) -> list[bytes]:
    return [line.encode(), unescaped(line)]


@pytest.fixture(scope="module")
def trial(world: World, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Every case, by everybody, and the gateway ended."""
    directory = world.copy_to(tmp_path_factory.mktemp("paths"))
    with Trial(directory, lambda url: config(url, routes=ROUTES, listeners=LISTENERS)) as trial:
        credentials = {
            who: "" if groups is None else f"{world.bearer(who, groups=groups)}\r\n" for who, groups in PEOPLE.items()
        }
        for who, credential in credentials.items():
            for place in PLACES:
                for case in TARGETS.values():
                    for target in {case["request_target"], case["lenient_upstream_resolves_to"]}:
                        if (target, place, who) not in trial.cases:
                            raw = REQUEST.format(f"GET {target}", place, credential).encode()
                            trial.fire((target, place, who), raw)
        for name, case in LINES.items():
            for number, line in enumerate(spellings(case["request_line"])):
                raw = line + f"\r\nHost: proxy.example\r\n{credentials['ana']}Connection: close\r\n\r\n".encode()
                trial.fire((name, number), raw)
        for host in [*(case["host_header"] for case in HOSTS.values()), SECRET, PUBLIC]:
            for who, credential in credentials.items():
                raw = REQUEST.format("GET /x", host, credential).encode()
                trial.fire((host, who, "plain"), raw)
                for certificate in (None, "batch", "web"):
                    key = (host, who, certificate)
                    trial.fire(key, raw, listener="edge", tls=tls(world, certificate), server_name="public.example.com")
                key = (host, who, "public name")
                trial.fire(key, raw, listener="named", tls=tls(world, None), server_name=PUBLIC)
        for url in RETURN_URLS:
            for listener in ("plain", "insecure"):
                for number, target in enumerate(spellings(url)):
                    raw = b"GET " + target + b" HTTP/1.1\r\nHost: moved.example\r\nConnection: close\r\n\r\n"
                    trial.fire((url, listener, number), raw, listener=listener)
    return trial


_CONTEXTS: dict[str | None, ssl.SSLContext] = {}


def tls(world: World, certificate: str | None) -> ssl.SSLContext:
    """Return a client's context; the server is not what is tested, so its name need not fit."""
    if certificate not in _CONTEXTS:
        _CONTEXTS[certificate] = world.client(certificate)
        _CONTEXTS[certificate].check_hostname = False
    return _CONTEXTS[certificate]


def status(case: Case) -> int:
    (answer,) = case.answers()
    assert [answer.status] == case.statuses
    return answer.status


def test_nothing_reaches_the_upstream_but_what_was_decided_and_has_one_reading(trial: Trial) -> None:
    assert trial.undecided() == []
    assert (trial.exit_status, "Traceback" in trial.gateway.stderr) == (0, False)


# Not refused, and not what a lenient server would make of it either: no rule opens it to anybody.
ANOTHER_PATH = {
    "single-09": "where %2F is kept, /admin%2Fsecret is one segment",
    "strip-02": "/api. is not /api",
}


@pytest.mark.parametrize("name", TARGETS)
def test_target(trial: Trial, name: str) -> None:
    case = TARGETS[name]
    target, resolved = case["request_target"], case["lenient_upstream_resolves_to"]
    for who in PEOPLE:
        for place in PLACES:
            came = trial.cases[target, place, who]
            if case["kind"] == "benign":
                assert status(came) == 200
            elif name in ANOTHER_PATH:
                assert status(came) in (400, 401, 403)
            elif status(came) != 400:
                assert status(came) == status(trial.cases[resolved, place, who])
            assert [(one.target, one.value("host"), one.whole) for one in came.requests] == (
                [(target, place, True)] if status(came) == 200 else []
            )


def test_what_the_suite_protects_is_protected_and_open_to_whom_it_is_meant_for(trial: Trial) -> None:
    wanted = {"/admin/secret": (401, 403, 200), "/a/longer/rule/abc": (401, 200, 200), "/public": (200, 200, 200)}
    for path, expected in wanted.items():
        for place in PLACES:
            assert tuple(status(trial.cases[path, place, who]) for who in PEOPLE) == expected


LINES_ANSWERED = {"form-09": 204, "form-10": 501}


@pytest.mark.parametrize("name", LINES)
def test_request_line(trial: Trial, name: str) -> None:
    for number in (0, 1):
        came = trial.cases[name, number]
        assert status(came) == LINES_ANSWERED.get(name, 400)
        assert came.requests == []


SAME_HOST = ("host-01", "host-05")  # another spelling, another port: the same host


@pytest.mark.parametrize("name", HOSTS)
def test_host(trial: Trial, name: str) -> None:
    host = HOSTS[name]["host_header"]
    for who in PEOPLE:
        for way in ("plain", None, "batch", "web", "public name"):
            came, secret = trial.cases[host, who, way], trial.cases[SECRET, who, way]
            assert status(came) == (status(secret) if name in SAME_HOST else 400)
            assert len(came.requests) == (1 if status(came) == 200 else 0)


def test_the_secret_host_is_open_to_one_person_on_one_workload_alone(trial: Trial) -> None:
    opened = {key for key, came in trial.cases.items() if key[0] == SECRET and status(came) == 200}
    assert opened == {(SECRET, "ana", "web")}
    assert {status(trial.cases[SECRET, who, "public name"]) for who in PEOPLE} == {421}
    assert {status(trial.cases[PUBLIC, who, "public name"]) for who in PEOPLE} == {200}


@pytest.mark.parametrize("url", RETURN_URLS)
def test_no_redirect_leaves_where_it_was_configured_to_lead(trial: Trial, url: str) -> None:
    for listener, home in {"plain": "new.example", "insecure": "moved.example"}.items():
        for number in (0, 1):
            (answer,) = trial.cases[url, listener, number].answers()
            location = answer.get("location")
            assert answer.status == 400 or location is not None
            if location is not None:
                assert urlsplit(location)[:2] == ("https", home)
                assert "\\" not in location


def test_every_case_of_the_suite_is_run() -> None:
    assert {*TARGETS, *LINES, *HOSTS} == CASES.keys()
    assert len(RETURN_URLS) == 57
