from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config.limits import Limits
from proxy.config.mistake import Mistake
from proxy.config.schema import Bearer, Identity, Issuer
from proxy.identity.issuers import Issuers, build_issuers
from proxy.identity.token import InvalidToken
from tests.identity.test_fetch import make_certificate
from tests.issuer import SigningKey

URL = "https://idp.example.org"


def build(previous: Issuers | None = None, **issuers: Issuer) -> tuple[Issuers, list[Mistake]]:
    return build_issuers(Identity(issuers=issuers), Limits(), previous, lambda *_: None)


def issuer(url: str = URL, **changed: Any) -> Issuer:
    return Issuer(**{"issuer": url, "bearer": {"audiences": ["ztproxy"]}, **changed})


def key_file(folder: Path, *keys: SigningKey) -> Path:
    file = folder / "jwks.json"
    file.write_text(json.dumps({"keys": [key.jwk for key in keys]}))
    return file


def test_an_issuer_is_found_by_the_url_that_its_tokens_claim() -> None:
    issuers, mistakes = build(corp=issuer(), other=issuer("https://other.example"))
    assert not mistakes
    rules, source = issuers.find(URL)
    assert (rules.name, rules.url, rules.audiences) == ("corp", URL, {"ztproxy"})
    assert issuers.sources == {"corp": source, "other": issuers.find("https://other.example")[1]}
    for url in (URL + "/", URL.upper(), "", None, 1, [URL], {}):
        with pytest.raises(InvalidToken):
            issuers.find(url)


def test_the_rules_are_those_of_the_config() -> None:
    bearer = Bearer(audiences=("a", "b"), algorithms=("PS512",), skew="5s")
    claims = {"email": "upn", "groups": "realm_access.roles"}
    rules, _ = build(corp=issuer(bearer=bearer, claims=claims, email_domains=["Example.ORG"]))[0].find(URL)
    assert (rules.audiences, rules.algorithms, rules.skew) == ({"a", "b"}, {"PS512"}, 5.0)
    assert (rules.email_claim, rules.groups_claim) == ("upn", "realm_access.roles")
    assert rules.email_domains == {"example.org"}


def test_by_default_only_asymmetric_algorithms_are_believed() -> None:
    rules, _ = build(corp=issuer())[0].find(URL)
    assert rules.algorithms == {"ES256", "RS256", "EdDSA", "PS256"}
    assert rules.skew == 60.0


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an issuer that is no URL": ({"issuer": "idp.example.org"}, "issuer"),
    "an issuer over plain http": ({"issuer": "http://idp.example.org"}, "issuer"),
    "an issuer with a password": ({"issuer": "https://a:b@idp.example.org"}, "issuer"),
    "an issuer with a query": ({"issuer": URL + "/?a=b"}, "issuer"),
    "keys over plain http": ({"jwks_url": "http://idp.example.org/jwks"}, "jwks_url"),
    "keys from a file by URL": ({"jwks_url": "file:///etc/jwks"}, "jwks_url"),
    "keys from two places": ({"jwks_url": URL + "/jwks", "jwks_file": "/nowhere"}, "jwks_file"),
    "a key file that is absent": ({"jwks_file": "/nowhere"}, "jwks_file"),
    "an authority for a file": ({"jwks_file": "/nowhere", "ca": "/nowhere"}, "ca"),
    "an authority that is absent": ({"ca": "/nowhere"}, "ca"),
    "keys that are never good": ({"keys_refresh": "10s", "keys_stale_limit": "5s"}, "keys_stale_limit"),
    "a refresh that never rests": ({"keys_refresh": "1ms"}, "keys_refresh"),
    "clocks an hour apart": ({"bearer": {"audiences": ["a"], "skew": "1h"}}, "bearer.skew"),
    "an address as a domain": ({"email_domains": ["ana@example.org"]}, "email_domains"),
    "a domain in other letters": ({"email_domains": ["exаmple.org"]}, "email_domains"),
}


@pytest.mark.parametrize(("changed", "place"), MISTAKES.values(), ids=MISTAKES)
def test_the_config_is_mistaken_that_has(changed: dict[str, Any], place: str) -> None:
    issuers, mistakes = build(corp=issuer(**changed))
    assert [mistake.path for mistake in mistakes] == [f"identity.issuers.corp.{place}"]
    assert not issuers.sources


def test_every_mistake_is_named_at_once() -> None:
    _, mistakes = build(
        first=issuer("http://a.example", keys_refresh="1ms"), second=issuer(), third=issuer(), fourth=issuer("x")
    )
    assert [mistake.path for mistake in mistakes] == [
        "identity.issuers.first.issuer",
        "identity.issuers.first.keys_refresh",
        "identity.issuers.third.issuer",
        "identity.issuers.fourth.issuer",
    ]
    assert "second" in mistakes[2].rule


def test_an_issuer_whose_keys_come_from_elsewhere_may_have_any_name() -> None:
    assert not build(corp=issuer("accounts.example.org", jwks_url=URL + "/jwks"))[1]


def test_a_loopback_issuer_may_speak_plain_http() -> None:
    assert not build(corp=issuer("http://127.0.0.1:9000"))[1]


def test_an_authority_without_a_certificate_is_a_mistake(tmp_path: Path) -> None:
    for content in ("", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (tmp_path / "ca.pem").write_text(content)
        _, mistakes = build(corp=issuer(ca=tmp_path / "ca.pem"))
        assert [mistake.path for mistake in mistakes] == ["identity.issuers.corp.ca"]


def test_a_key_file_serves_at_once(tmp_path: Path) -> None:
    issuers, mistakes = build(corp=issuer(jwks_file=key_file(tmp_path, SigningKey.generate("a"))))
    assert not mistakes
    assert issuers.sources["corp"].usable


def test_a_key_file_without_a_usable_key_is_a_mistake(tmp_path: Path) -> None:
    symmetric = SigningKey("s", "ES256", SigningKey.generate("s").private, {"kty": "oct", "k": "AA"})
    _, mistakes = build(corp=issuer(jwks_file=key_file(tmp_path, symmetric)))
    assert mistakes == [
        Mistake(
            ("identity", "issuers", "corp", "jwks_file"),
            "no key can be used; key 0: a published key must be public",
        )
    ]


def test_a_reload_goes_on_with_the_keys_of_an_issuer_that_has_not_moved() -> None:
    before, _ = build(corp=issuer(), other=issuer("https://other.example"))
    bearer = {"audiences": ["another"]}
    after, _ = build(before, corp=issuer(bearer=bearer), other=issuer("https://moved.example"))
    assert after.sources["corp"] is before.sources["corp"]
    assert after.find(URL)[0].audiences == {"another"}
    assert after.sources["other"] is not before.sources["other"]


@pytest.mark.parametrize(
    "changed",
    [{"jwks_url": URL + "/jwks"}, {"keys_refresh": "60s"}, {"keys_stale_limit": "1h"}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_reload_begins_anew_where_keys_come_from_elsewhere_or_serve_otherwise(changed: dict[str, Any]) -> None:
    before, _ = build(corp=issuer())
    after, _ = build(before, corp=issuer(**changed))
    assert after.sources["corp"] is not before.sources["corp"]


def test_a_reload_begins_anew_where_the_authority_is_another(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    before, _ = build(corp=issuer(ca=tmp_path / "idp.pem"))
    same, _ = build(before, corp=issuer(ca=tmp_path / "idp.pem"))
    assert same.sources["corp"] is before.sources["corp"]
    make_certificate(tmp_path)
    after, _ = build(before, corp=issuer(ca=tmp_path / "idp.pem"))
    assert after.sources["corp"] is not before.sources["corp"]


def test_an_issuer_that_is_configured_no_more_is_nobody() -> None:
    before, _ = build(corp=issuer())
    after, _ = build(before)
    assert not after.sources
    with pytest.raises(InvalidToken):
        after.find(URL)
