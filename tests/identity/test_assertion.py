"""What is signed for applications, by which key, for how long, and what is published of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.config.assertion import Assertion
from proxy.identity.assertion import LIFETIME, Assertions, build_assertions, signing_key
from proxy.identity.jwks import parse_jwks
from proxy.identity.principal import CertificateFacts, Peer, Principal
from proxy.identity.token import parse_token
from tests.assertions import verified, write_key

NOW = 1_767_225_600.5
ISSUER = "https://example.org"
WORKLOAD = Peer("spiffe://example.org/web", "example.org", "/web", NOW + 60, CertificateFacts(
    b"", "", "", "", 0.0, NOW + 60, (), "spiffe://example.org/web",
))  # fmt: skip


@pytest.fixture(scope="module")
def assertions() -> Assertions:
    return Assertions((signing_key(ec.generate_private_key(ec.SECP256R1())),), ISSUER)


def ana(**changes: Any) -> Principal:
    base: dict[str, Any] = {"kind": "user", "id": "ana", "issuer": "corp", "method": "bearer"}
    return Principal(**{**base, **changes})


def claims_of(assertions: Assertions, principal: Principal, **options: Any) -> dict[str, Any]:
    signed = assertions.of(principal, options.pop("peer", None), "wiki.example.org", NOW, **options)
    claims: dict[str, Any] = jwt.decode(signed.text, options={"verify_signature": False})
    return claims


def test_an_assertion_says_who_it_is_and_for_whom(assertions: Assertions) -> None:
    user = ana(
        email="ana@example.org", groups=("eng", "ops"), method="session", session="s1", amr=("pwd", "otp"), acr="mfa"
    )
    claims = claims_of(assertions, user)
    assert len(claims.pop("jti")) >= 20
    assert claims == {
        "iss": ISSUER, "aud": "https://wiki.example.org", "iat": 1_767_225_600, "nbf": 1_767_225_600,
        "exp": 1_767_225_900, "sub": "ana", "idp": "corp", "groups": ["eng", "ops"], "email": "ana@example.org",
        "sid": "s1", "amr": ["pwd", "otp"], "acr": "mfa",
    }  # fmt: skip


def test_what_is_not_known_is_left_out_and_groups_are_a_list(assertions: Assertions) -> None:
    claims = claims_of(
        assertions, ana(claims={"amr": "pwd", "acr": 1, "sid": "the provider's", "email": "unvouched@x"})
    )
    assert claims["groups"] == []
    assert claims.keys().isdisjoint({"email", "sid", "amr", "acr", "device"})


def test_a_token_says_how_its_user_signed_in(assertions: Assertions) -> None:
    claims = claims_of(assertions, ana(claims={"amr": ["hwk"], "acr": "phr"}))
    assert (claims["amr"], claims["acr"]) == (["hwk"], "phr")


def test_a_workload_that_a_user_comes_through_is_no_device(assertions: Assertions) -> None:
    assert "device" not in claims_of(assertions, ana(), peer=WORKLOAD)


def test_a_device_is_told_beside_its_user(assertions: Assertions) -> None:
    user, device = ana(), dataclasses.replace(WORKLOAD, id="mdm:C02", kind="device")
    assert claims_of(assertions, user, peer=device)["device"] == "mdm:C02"
    assert "device" not in claims_of(assertions, user)


def test_an_assertion_in_pomerium_s_form_names_the_bare_host(assertions: Assertions) -> None:
    claims = claims_of(assertions, ana(claims={"name": "Ana A."}), form="pomerium")
    assert (claims["iss"], claims["aud"], claims["user"], claims["name"]) == (
        "wiki.example.org", "wiki.example.org", "ana", "Ana A.",
    )  # fmt: skip
    assert "name" not in claims_of(assertions, ana(claims={"name": ["Ana"]}), form="pomerium")


def test_an_assertion_is_signed_once_for_half_of_its_life(assertions: Assertions) -> None:
    user = ana()
    first = assertions.of(user, None, "a.example", NOW)
    assert first.fresh_until == pytest.approx(NOW + LIFETIME / 2, abs=1)
    assert assertions.of(user, None, "a.example", first.fresh_until - 0.01) is first
    second = assertions.of(user, None, "a.example", first.fresh_until)
    assert second.text != first.text
    assert second.fresh_until > first.fresh_until
    assert assertions.of(ana(), None, "a.example", NOW) is not first


def test_each_host_and_each_form_has_its_own(assertions: Assertions) -> None:
    user = ana()
    texts = {
        assertions.of(user, None, host, NOW, form).text
        for host in ("a.example", "b.example")
        for form in ("ztproxy", "pomerium")
    }
    assert len(texts) == 4


def test_a_user_of_many_hosts_fills_no_memory(assertions: Assertions) -> None:
    user = ana()
    for number in range(100):
        assertions.of(user, None, f"{number}.example", NOW)
    assert len(user.derived["assertions"]) == 16
    last = assertions.of(user, None, "99.example", NOW)
    assert assertions.of(user, None, "99.example", NOW) is last


def test_an_assertion_ends_with_its_user(assertions: Assertions) -> None:
    signed = assertions.of(ana(expires_at=NOW + 60), None, "a.example", NOW)
    claims = jwt.decode(signed.text, options={"verify_signature": False})
    assert claims["exp"] == int(NOW + 60)
    assert signed.fresh_until <= NOW + 30


def test_the_published_key_verifies_here_and_elsewhere(assertions: Assertions) -> None:
    text = assertions.of(ana(), None, "a.example", NOW).text
    assert verified(text, assertions.jwks(NOW), "https://a.example", verify_exp=False)["sub"] == "ana"
    keys = parse_jwks(assertions.jwks(NOW))
    token = parse_token(text)
    assert not keys.dropped
    keys.find(token).verify(token)


def test_what_is_published_holds_nothing_private(assertions: Assertions) -> None:
    (key,) = json.loads(assertions.jwks(NOW))["keys"]
    assert set(key) == {"crv", "kty", "x", "y", "kid", "use", "alg"}
    assert "private" not in repr(assertions.keys[0])


def test_a_thumbprint_names_a_key() -> None:
    # x and y with a leading zero byte keep it, or the thumbprint is another (RFC 7518 section 6.2.1.2).
    for _ in range(300):
        key = signing_key(ec.generate_private_key(ec.SECP256R1()))
        assert len(key.jwk["x"]) == len(key.jwk["y"]) == 43
        assert len(key.kid) == 43


# --- files and rotation


def config_of(*files: Path) -> Assertion:
    return Assertion(key_files=files)


def kids(assertions: Assertions | None, now: float) -> list[str]:
    assert assertions is not None
    return [key["kid"] for key in json.loads(assertions.jwks(now))["keys"]]


def test_without_the_section_nothing_is_signed() -> None:
    assert build_assertions(None, ISSUER, None, NOW) == (None, [])


def test_the_first_key_signs_and_all_are_published(tmp_path: Path) -> None:
    files = tmp_path / "one.key", tmp_path / "two.key"
    written = [signing_key(write_key(file)).kid for file in files]
    built, mistakes = build_assertions(config_of(*files), ISSUER, None, NOW)
    assert not mistakes
    assert kids(built, NOW) == written
    assert built is not None
    assert jwt.get_unverified_header(built.of(ana(), None, "a.example", NOW).text) == {
        "alg": "ES256", "typ": "JWT", "kid": written[0],
    }  # fmt: skip


def test_what_has_not_changed_goes_on(tmp_path: Path) -> None:
    write_key(tmp_path / "one.key")
    built, _ = build_assertions(config_of(tmp_path / "one.key"), ISSUER, None, NOW)
    assert build_assertions(config_of(tmp_path / "one.key"), ISSUER, built, NOW)[0] is built
    assert build_assertions(config_of(tmp_path / "one.key"), "https://b.example", built, NOW)[0] is not built


def test_a_key_that_is_taken_away_is_published_until_its_last_assertion_ends(tmp_path: Path) -> None:
    old, new = (signing_key(write_key(tmp_path / name)).kid for name in ("old.key", "new.key"))
    one, _ = build_assertions(config_of(tmp_path / "old.key"), ISSUER, None, NOW)
    two, _ = build_assertions(config_of(tmp_path / "new.key"), ISSUER, one, NOW)
    assert kids(two, NOW) == [new, old]
    assert kids(two, NOW + LIFETIME) == [new, old]
    assert kids(two, NOW + LIFETIME + 60) == [new]
    three, _ = build_assertions(config_of(tmp_path / "new.key"), "https://b.example", two, NOW + 10)
    assert kids(three, NOW + 20) == [new, old]
    back, _ = build_assertions(config_of(tmp_path / "old.key"), ISSUER, two, NOW + 10)
    assert kids(back, NOW + 20) == [old, new]


def test_a_user_s_assertion_is_signed_anew_by_a_new_key(tmp_path: Path) -> None:
    user = ana()
    write_key(tmp_path / "one.key")
    one, _ = build_assertions(config_of(tmp_path / "one.key"), ISSUER, None, NOW)
    write_key(tmp_path / "one.key")
    two, _ = build_assertions(config_of(tmp_path / "one.key"), ISSUER, one, NOW)
    assert one is not None
    assert two is not None
    before, after = (each.of(user, None, "a.example", NOW).text for each in (one, two))
    assert jwt.get_unverified_header(after)["kid"] == two.keys[0].kid != jwt.get_unverified_header(before)["kid"]
    for text in (before, after):
        assert verified(text, two.jwks(NOW), "https://a.example", verify_exp=False)["sub"] == "ana"


@pytest.mark.parametrize(
    ("content", "mode", "rule"),
    [
        (None, 0o600, "key must be readable"),
        (b"no key", 0o600, "key must be a PEM private key"),
        ("P-384", 0o600, "key must be of the curve P-256"),
        ("P-256", 0o644, "private key must not be readable by the world"),
    ],
)
def test_a_key_that_cannot_sign_is_a_mistake(content: object, mode: int, rule: str, tmp_path: Path) -> None:
    file = tmp_path / "a.key"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        write_key(file, ec.SECP384R1() if content == "P-384" else None)
    if file.exists():
        file.chmod(mode)
    built, (mistake,) = build_assertions(config_of(file), ISSUER, None, NOW)
    assert built is None
    assert mistake.location == ("assertion", "key_files", 0)
    assert mistake.rule.startswith(rule)


def test_a_key_that_is_listed_twice_is_a_mistake(tmp_path: Path) -> None:
    write_key(tmp_path / "a.key")
    built, (mistake,) = build_assertions(config_of(tmp_path / "a.key", tmp_path / "a.key"), ISSUER, None, NOW)
    assert built is None
    assert mistake.location == ("assertion", "key_files", 1)
