"""A declared PKI is made whole, or its every mistake is told and nothing is made."""

from __future__ import annotations

import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from proxy.identity.authority import Authority
from proxy.identity.bundle import TrustBundle, TrustBundles
from proxy.identity.pki import DeclaredDomain, make_pki, parse_lifetime, parse_pki
from proxy.identity.svid import check_leaf

ROOT = Path(__file__).parents[2]
DEV = ROOT / "certs" / "dev.yaml"


def parse(text: str) -> list[DeclaredDomain]:
    domains, mistakes = parse_pki(text.encode())
    assert mistakes == []
    return domains


def rules_of(text: str) -> list[tuple[int, str, str]]:
    return [(line, mistake.path, mistake.rule) for line, mistake in parse_pki(text.encode())[1]]


def leaf_of(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


SMALL = """\
version: 1
trust_domains:
  example.org:
    lifetime: 30d
    svids:
      - {file: web, id: "spiffe://example.org/web", dns: [web.internal], ips: [10.0.0.7], lifetime: 2h}
    servers:
      - {file: edge, names: [localhost, "::1"], lifetime: 7d}
  partner.example: {}
"""


def test_what_is_declared_is_made(tmp_path: Path) -> None:
    written = make_pki(parse(SMALL), tmp_path / "pki")
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "pki/example.org/ca.pem",
        "pki/example.org/ca.key",
        "pki/example.org/web.pem",
        "pki/example.org/web.key",
        "pki/example.org/edge.pem",
        "pki/example.org/edge.key",
        "pki/partner.example/ca.pem",
        "pki/partner.example/ca.key",
    ]
    assert sorted(written) == sorted(path for path in (tmp_path / "pki").rglob("*") if path.is_file())
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.suffix == ".key" else 0o644)
    web = leaf_of(tmp_path / "pki/example.org/web.pem")
    assert str(check_leaf(web)) == "spiffe://example.org/web"
    web.verify_directly_issued_by(Authority.load(tmp_path / "pki/example.org").certificate)


@pytest.mark.parametrize(
    ("file", "lifetime"),
    [("ca", timedelta(days=30)), ("web", timedelta(hours=2)), ("edge", timedelta(days=7))],
)
def test_lifetimes_are_what_is_declared(tmp_path: Path, file: str, lifetime: timedelta) -> None:
    make_pki(parse(SMALL), tmp_path)
    certificate = leaf_of(tmp_path / "example.org" / f"{file}.pem")
    lives = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime <= lives <= lifetime + timedelta(minutes=2)


def test_lifetimes_are_short_where_none_is_declared() -> None:
    [domain] = parse(
        "version: 1\ntrust_domains: {a: {svids: [{file: x, id: spiffe://a/x}], servers: [{file: y, names: [y]}]}}"
    )
    assert domain.lifetime == timedelta(days=3650)
    assert domain.svids[0].lifetime == timedelta(hours=24)
    assert domain.servers[0].lifetime == timedelta(days=90)


def test_nothing_is_overwritten_and_nothing_half_made(tmp_path: Path) -> None:
    mine = tmp_path / "example.org" / "edge.key"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(FileExistsError) as raised:
        make_pki(parse(SMALL), tmp_path)
    assert raised.value.filename == str(mine)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    make_pki(parse(SMALL), tmp_path, force=True)
    assert mine.read_bytes() != b"mine"


def test_the_development_pki_of_the_repository_is_made(tmp_path: Path) -> None:
    domains, mistakes = parse_pki(DEV.read_bytes())
    assert mistakes == []
    make_pki(domains, tmp_path)
    for domain in domains:
        folder = tmp_path / domain.trust_domain
        assert TrustBundles([TrustBundle(domain.trust_domain, (Authority.load(folder).certificate,))])
        for svid in domain.svids:
            assert str(check_leaf(leaf_of(folder / f"{svid.file}.pem"))) == svid.id


def test_the_example_of_the_readme_is_a_declaration() -> None:
    [example] = re.findall(r"^```yaml\n(.*?)^```", DEV.with_name("README.md").read_text(), re.M | re.S)
    [domain] = parse(example)
    assert (domain.trust_domain, len(domain.svids), len(domain.servers)) == ("example.org", 1, 1)


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", [(1, "", "the file is empty")]),
        ("version: 2\ntrust_domains: {a: {}}", [(1, "version", "must be 1")]),
        ("version: true\ntrust_domains: {a: {}}", [(1, "version", "must be 1")]),
        ("trust_domains: {a: {}}", [(1, "version", "is required")]),
        ("version: 1", [(1, "trust_domains", "is required")]),
        ("[]", [(1, "", "must be a map of keys"), (1, "version", "is required"), (1, "trust_domains", "is required")]),
        ("version: 1\ntrust_domains: [a]", [(2, "trust_domains", "must be a map of keys")]),
        ("version: 1\ntrust_domains:\n  a: 7", [(3, "trust_domains.a", "must be a map of keys")]),
        ("version: 1\nversion: 1\ntrust_domains: {a: {}}", [(2, "version", "")]),
    ],
)
def test_a_mistake_of_the_file_has_its_line(text: str, mistakes: list[tuple[int, str, str]]) -> None:
    told = rules_of(text)
    assert [mistake[:2] for mistake in told] == [mistake[:2] for mistake in mistakes]
    assert all(rule in mistake[2] for mistake, (_, _, rule) in zip(told, mistakes, strict=True))


@pytest.mark.parametrize(
    ("entry", "place", "rule"),
    [
        ("svid: []", "svid", 'is not a key here (did you mean "svids"?)'),
        ("lifetime: 5", "lifetime", "must be a duration"),
        ("lifetime: 0s", "lifetime", "must not be shorter than 1s"),
        ("svids: {}", "svids", "must be a list"),
        ("svids: []", "svids", "must be a list, and not an empty one"),
        ("svids: [7]", "svids[0]", "must be a map of keys"),
        ("svids: [{id: spiffe://a/x}]", "svids[0].file", "is required"),
        ("svids: [{file: x}]", "svids[0].id", "is required"),
        ("svids: [{file: x, id: spiffe://a}]", "svids[0].id", "must be a spiffe id with a path"),
        ("svids: [{file: x, id: spiffe://b/x}]", "svids[0].id", "in trust domain a"),
        ("svids: [{file: x, id: spiffe://A/x}]", "svids[0].id", "trust domain must hold only"),
        ("svids: [{file: ../x, id: spiffe://a/x}]", "svids[0].file", "must be a file name"),
        ("svids: [{file: .x, id: spiffe://a/x}]", "svids[0].file", "must be a file name"),
        ("svids: [{file: ca, id: spiffe://a/x}]", "svids[0].file", "must be the name of one entry"),
        ("svids: [{file: x, id: spiffe://a/x, dns: [a b]}]", "svids[0].dns", "must be host names"),
        ("svids: [{file: x, id: spiffe://a/x, dns: [ä]}]", "svids[0].dns", "must be host names"),
        ("svids: [{file: x, id: spiffe://a/x, ips: [a]}]", "svids[0].ips", "does not appear to be an IPv4 or IPv6"),
        ("svids: [{file: x, id: spiffe://a/x, extra: 1}]", "svids[0].extra", "is not a key here"),
        (
            "{lifetime: 1h, svids: [{file: x, id: spiffe://a/x}]}",
            "svids[0].lifetime",
            "not be longer than its authority",
        ),
        ("servers: [{file: x}]", "servers[0].names", "is required"),
        ("servers: [{file: x, names: []}]", "servers[0].names", "must be a list, and not an empty one"),
        ("servers: [{file: x, names: [a/b]}]", "servers[0].names", "must be host names"),
    ],
)
def test_a_mistake_of_an_entry_has_its_key_and_its_rule(entry: str, place: str, rule: str) -> None:
    body = entry.strip("{}") if entry.startswith("{") else entry
    told = [mistake for mistake in rules_of(f"version: 1\ntrust_domains:\n  a: {{{body}}}") if mistake[1]]
    assert (3, f"trust_domains.a.{place}") in [mistake[:2] for mistake in told]
    assert any(rule in mistake[2] for mistake in told)


@pytest.mark.parametrize("name", ["Example.org", "a/b", "..", ".", "a b"])
def test_a_trust_domain_is_one_and_a_folder_too(name: str) -> None:
    assert [place for _, place, _ in rules_of(f'version: 1\ntrust_domains: {{"{name}": {{}}}}')] == [
        f"trust_domains.{name}"
    ]


def test_two_entries_do_not_write_one_file() -> None:
    text = "version: 1\ntrust_domains: {a: {svids: [{file: x, id: spiffe://a/x}], servers: [{file: x, names: [x]}]}}"
    assert [place for _, place, _ in rules_of(text)] == ["trust_domains.a.servers[0].file"]


def test_every_mistake_is_told_at_once() -> None:
    text = SMALL.replace("version: 1", "version: 3").replace("30d", "30").replace("web.internal", "web internal")
    assert [place for _, place, _ in rules_of(text)] == [
        "version",
        "trust_domains.example.org.lifetime",
        "trust_domains.example.org.svids[0].dns",
    ]


@pytest.mark.parametrize("text", ["", "5", "0s", "500ms", "-1h", "36501d", "1y", 5, None])
def test_a_lifetime_is_a_duration_of_a_second_or_more(text: object) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_lifetime(text)
