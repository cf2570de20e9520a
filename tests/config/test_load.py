"""A file to a config, or to every mistake in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.load import load, read, read_secret, render
from proxy.config.mistake import Mistake
from tests.config.test_check import GOOD


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def written(text: str, directory: Path) -> Path:
    path = directory / "ztproxy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_mistake_of_a_file_is_told_at_once(directory: Path) -> None:
    path = written(
        """\
version: 1
trust_domain: example.org
listener: []
listeners:
  - {name: edge, address: 0.0.0.0:8443, tls: {certificate: edge.pem, key: edge.key, client_certificates: optionl}}
  - {name: edge, address: 127.0.0.1:8443, plaintext: true}
upstreams:
  wiki: {endpoints: [http://10.0.0.5:8080], retries: 3}
  orders: {endpoints: [orders:8080]}
routes:
  - {name: wiki, host: a.example, upstream: wikki, allow: [{anyone: true}]}
  - {name: orders, path: orders, host: b.example, upstream: orders, allow: [{anyone: true}]}
  - {name: bad}
  - {name: api, host: a.example, upstream: wiki, allow: [{anyone: true}]}
  - {name: api, host: c.example, host: d.example, upstream: wiki, listeners: [edge, internal]}
""",
        directory,
    )
    assert render(load(path)[1], Path("F")) == [
        'F:3: listener: unknown key (did you mean "listeners"?); the keys here are version, trust_domain, '
        "state_directory, workers, listeners, admin, health, drain, limits, identity, assertion, sign_in, session, "
        "portal, policy, access_log, decision_log, upstreams, routes",
        'F:5: listeners[0].tls.client_certificates: must be none, optional or required (did you mean "optional"?)',
        'F:6: listeners[1].name: "edge" is the name of listeners[0] already',
        "F:6: listeners[1].address: 127.0.0.1:8443 overlaps with the address of listeners[0]",
        "F:8: upstreams.wiki.retries: unknown key; the keys here are endpoints, tls",
        "F:9: upstreams.orders.endpoints[0]: must be an absolute URL, http:// or https://, "
        "without user name or fragment",
        'F:11: routes[0].upstream: no upstream is called "wikki" (did you mean "wiki"?)',
        "F:12: routes[1].path: a path must begin with /",
        "F:13: routes[2].host: is required",
        'F:14: routes[3].path: nothing reaches this route: routes[0] ("wiki") has a.example/ on listener edge already',
        "F:15: routes[4].host: is given twice (the first is on line 15)",
        'F:15: routes[4].name: "api" is the name of routes[3] already',
        'F:15: routes[4].listeners[1]: no listener is called "internal"',
    ]


@pytest.mark.parametrize(
    ("goes", "comes", "told"),
    [
        # Each has one mistake, which must not make others up: names that are declared badly are declared.
        ("wiki: {endpoints", "wiki: {endpoint", ["unknown key", "is required"]),
        ("upstream: wiki", "upstraem: wiki", ["unknown key"]),
        ("bearer: {audiences: [ztproxy]}", "bearer: {audiences: []}", ["must not be empty"]),
        ("path: /\n", "listeners: edge\n", ["must be a list"]),
        ("path: /\n", "path: [a]\n", ["must be text"]),
        ("trust_domain: example.org", "trust_domain: Example", ["must be a trust domain"]),
        ("    upstream: wiki", "    upstream:", ["must not be empty"]),
        ("{example.org: ca.pem}", "{example.org: [ca.pem]}", ["must be a map"]),
        ("identity:", "policy: {engine: opaa, opa: {url: 'http://127.0.0.1'}}\nidentity:", ["must be embedded or opa"]),
        ("name: plain", "nmae: plain", ["unknown key", "is required"]),
        (
            "    tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}",
            "    tls: 5",
            ["must be a map"],
        ),
    ],
)
def test_what_is_bad_makes_no_further_mistakes_up(goes: str, comes: str, told: list[str], directory: Path) -> None:
    config, mistakes = load(written(GOOD.replace(goes, comes, 1), directory))
    assert config is None
    assert len(mistakes) == len(told)
    assert {rule for rule in told if any(rule in located.mistake.rule for located in mistakes)} == set(told)


def test_what_is_good_of_a_bad_file_is_there_to_find_more(directory: Path) -> None:
    text = GOOD.replace("upstream: wiki", "upstream: wikki").replace("path: /\n", "path: x\n")
    file = read(written(text, directory))
    assert file.config is None
    assert file.salvaged is not None
    assert file.salvaged.identity.issuers.keys() == {"corp"}
    assert "wikki" in file.salvaged.upstreams  # a room that looks the name up finds something


def test_what_other_rooms_find_gets_its_line_and_is_not_said_twice(directory: Path) -> None:
    file = read(written(GOOD.replace(", key: edge.key", ""), directory))
    more = file.with_mistakes(
        [
            Mistake(("listeners", 0, "tls", "certificate"), "must be readable"),
            Mistake(("listeners", 0, "tls", "key"), "must be there"),
            Mistake(("listeners", 0, "tls"), "must have either"),
            Mistake(("routes", 0, "allow", 0, "groups", 0), "must have", "warning"),
        ]
    )
    assert [(line, mistake.rule) for line, mistake in more.mistakes] == [
        (6, "is required, or certificates, a list of them by host"),
        (6, "must be readable"),
        (19, "must have"),
    ]


def test_a_warning_lets_the_config_through_and_an_error_does_not(directory: Path) -> None:
    file = read(written(GOOD, directory))
    assert file.with_mistakes([Mistake(("routes",), "is odd", "warning")]).config is not None
    assert file.with_mistakes([Mistake(("routes",), "is wrong")]).config is None


def test_paths_are_relative_to_the_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "etc").mkdir()
    more = "access_log: {to: access.log}\ndecision_log: {to: stdout}\npolicy: {path: policies}\nroutes:"
    written(GOOD.replace("routes:", more).replace("edge.key", "/keys/edge.key"), directory / "etc")
    monkeypatch.chdir(directory)
    config, mistakes = load(Path("etc/ztproxy.yaml"))
    assert (mistakes, config is None) == ([], False)
    assert config is not None
    tls = config.listeners[0].tls
    assert tls is not None
    assert tls.certificate == directory / "etc/edge.pem"
    assert tls.key == Path("/keys/edge.key")
    assert config.identity.trust_bundles["example.org"].file == directory / "etc/ca.pem"
    assert config.access_log.to == str(directory / "etc/access.log")
    assert config.decision_log.to == "stdout"
    assert config.policy.path == directory / "etc/policies"


def test_values_are_made_alike(directory: Path) -> None:
    text = GOOD.replace("host: wiki.example.org", 'host: ["WIKI.Example.org", "*.Example.org", "[0::1]"]')
    text = text.replace("http://10.0.0.5:8080", "http://10.0.0.5:8080/")
    config, _ = load(written(text, directory))
    assert config is not None
    assert config.routes[0].host == ("wiki.example.org", "*.example.org", "[::1]")
    assert config.upstreams["wiki"].endpoints == ("http://10.0.0.5:8080",)


def test_hours_need_no_quotes(directory: Path) -> None:
    hours = "{anyone: true, hours: {days: [mon, fri], from: 08:00, to: 18:00}}"
    config, mistakes = load(written(GOOD.replace("{groups: [engineering]}", hours), directory))
    assert mistakes == []
    assert config is not None
    allow = config.routes[0].allow
    assert allow is not None
    assert allow[0].hours is not None
    assert (allow[0].hours.from_, allow[0].hours.to) == ("08:00", "18:00")


def test_an_alias_repeats_what_its_anchor_holds(directory: Path) -> None:
    text = GOOD.replace("allow: [{groups", "allow: &staff [{groups").replace(
        "    redirect: https://wiki.example.org", "    upstream: wiki\n    allow: *staff"
    )
    config, mistakes = load(written(text, directory))
    assert mistakes == []
    assert config is not None
    assert config.routes[0].allow == config.routes[1].allow


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: None, "F:1: the file cannot be read: no such file or directory"),
        (lambda path: path.mkdir(), "F:1: the file cannot be read: is a directory"),
        (lambda path: path.write_text(""), "F:1: the file is empty"),
        (lambda path: path.write_text("- 1"), "F:1: must be a map of keys and values"),
        (lambda path: path.write_text("5"), "F:1: must be a map of keys and values"),
        (lambda path: path.write_text("null"), "F:1: must be a map of keys and values"),
    ],
)
def test_what_is_no_config_at_all_is_told(make: object, line: str, directory: Path) -> None:
    path = directory / "ztproxy.yaml"
    make(path)  # type: ignore[operator]
    config, mistakes = load(path)
    assert (config, render(mistakes, Path("F"))) == (None, [line])


# --- secrets


@pytest.mark.parametrize(
    ("content", "secret"),
    [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" a \n\n", " a \n")],
)
def test_a_secret_is_a_files_content_without_its_last_newline(content: str, secret: str, directory: Path) -> None:
    path = directory / "token"
    path.write_bytes(content.encode())
    assert read_secret(str(path)) == secret


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPA_TOKEN", "s3cret\n")
    assert read_secret("env:OPA_TOKEN") == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"s3cret\xff", b"s3cret" * 20_000])
def test_what_is_no_secret_is_refused_without_showing_it(content: bytes, directory: Path) -> None:
    path = directory / "token"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="secret") as caught:
        read_secret(str(path))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", ["env:ZTPROXY_NOT_SET", "/nonexistent/token", "/", "a\0b"])
def test_an_absent_secret_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"must be set|cannot be read"):
        read_secret(value)


# --- robustness

_MUTATIONS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=len(GOOD) - 1),
        st.integers(min_value=0, max_value=30),
        st.one_of(
            st.sampled_from(
                ["", ":", "- ", "{", "}", "[", "]", "null", "5", "true", "*", "&a ", "*a", "'", '"', "\n", "  ", "{}",
                 "[]", "~", "<<: *a", "!!str ", "0.0", "1e999", "-0", "\t", "#", "|", ">", "? ", "\\u0000", "1" * 50]
            ),
            st.text(max_size=5),
        ),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_MUTATIONS)
@example([(0, 400, "")])
def test_no_change_to_a_file_makes_load_raise(directory: Path, changes: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, new in changes:
        text = text[:start] + new + text[start + length :]
    _holds(directory, text.encode("utf-8", "surrogatepass"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_make_load_raise(directory: Path, content: bytes) -> None:
    _holds(directory, content)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
_PLACES = [
    match.span(1) for match in re.finditer(r"(?<=[:\[{,] )([A-Za-z0-9.:/\"_]+)(?=[,}\]\n])", GOOD)
]  # the scalars of the good file


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_PLACES), _JSON)
def test_no_value_in_the_place_of_another_makes_load_raise(
    directory: Path, span: tuple[int, int], value: object
) -> None:
    _holds(directory, (GOOD[: span[0]] + json.dumps(value) + GOOD[span[1] :]).encode())


def _holds(directory: Path, content: bytes) -> None:
    path = directory / "ztproxy.yaml"
    path.write_bytes(content)
    file = read(path)
    errors = [located for located in file.mistakes if located.mistake.severity == "error"]
    assert (file.config is None) is bool(errors)
    last = max(len(content.decode("utf-8", "replace").splitlines()), 1)
    assert all(1 <= line <= last for line, _ in file.mistakes)
    assert all(mistake.rule != "is not accepted here" for _, mistake in file.mistakes)
    render(file.mistakes, path)
