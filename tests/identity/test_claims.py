from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.identity.claims import TokenRules, read_principal
from proxy.identity.token import InvalidToken

NOW = 1_800_000_000.0
ISSUER = "https://idp.example.org"
RULES = TokenRules("corp", ISSUER, frozenset({"ztproxy", "second"}), frozenset({"ES256"}))
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": "ztproxy", "sub": "ana", "exp": NOW + 300, "iat": NOW - 10}


def rules(**changed: Any) -> TokenRules:
    return TokenRules("corp", ISSUER, frozenset({"ztproxy"}), frozenset({"ES256"}), **changed)


def test_a_user_is_an_issuer_and_a_subject() -> None:
    user = read_principal(CLAIMS, RULES, NOW)
    assert (user.kind, user.id, user.issuer, user.issuer_url) == ("user", "ana", "corp", ISSUER)
    assert (user.method, user.authenticated_at, user.claims) == ("bearer", NOW - 10, CLAIMS)
    assert (user.email, user.groups) == ("", ())


def test_a_user_is_nobody_once_the_token_has_expired_on_any_clock() -> None:
    assert read_principal(CLAIMS, RULES, NOW).expires_at == NOW + 360


def test_the_sign_in_counts_from_when_it_happened_and_not_from_the_token() -> None:
    assert read_principal(CLAIMS | {"auth_time": NOW - 3600}, RULES, NOW).authenticated_at == NOW - 3600
    unknown = {name: value for name, value in CLAIMS.items() if name != "iat"}
    assert read_principal(unknown, RULES, NOW).authenticated_at is None


ACCEPTED: dict[str, dict[str, Any]] = {
    "for us and for others": {"aud": ["other", "second"]},
    "expired by less than the clocks may differ": {"exp": NOW - 59},
    "valid from a moment that other clocks have reached": {"nbf": NOW + 60, "iat": NOW + 60},
    "of fractional times": {"exp": NOW + 0.5, "iat": NOW - 0.25},
    "by a client": {"azp": "somebody", "client_id": "somebody", "scope": "read write"},
}


@pytest.mark.parametrize("claims", ACCEPTED.values(), ids=ACCEPTED)
def test_a_token_is_accepted_that_is(claims: dict[str, Any]) -> None:
    assert read_principal(CLAIMS | claims, RULES, NOW).id == "ana"


REFUSED: dict[str, dict[str, Any]] = {
    "of an issuer with a slash more": {"iss": ISSUER + "/"},
    "of an issuer in other letters": {"iss": ISSUER.upper()},
    "of an issuer that begins alike": {"iss": ISSUER + ".evil.example"},
    "of an issuer list": {"iss": [ISSUER]},
    "for another audience": {"aud": "other"},
    "for other audiences": {"aud": ["other", "third"]},
    "for no audience": {"aud": []},
    "for an empty audience": {"aud": ""},
    "for an audience in other letters": {"aud": "ZTPROXY"},
    "for an audience that holds ours": {"aud": "xztproxyx"},
    "for an object": {"aud": {"ztproxy": 1}},
    "for us and a number": {"aud": ["ztproxy", 1]},
    "for null": {"aud": None},
    "expired": {"exp": NOW - 61},
    "expired to the second": {"exp": NOW - 60},
    "expired in 1970": {"exp": 0},
    "expired before": {"exp": -1},
    "expiring when true": {"exp": True},
    "expiring as a string": {"exp": str(int(NOW + 300))},
    "expiring in a list": {"exp": [NOW + 300]},
    "expiring at null": {"exp": None},
    "not valid yet": {"nbf": NOW + 61},
    "valid from false": {"nbf": False},
    "valid from a string": {"nbf": "0"},
    "issued in the future": {"iat": NOW + 61},
    "issued at true": {"iat": True},
    "of a sign-in in the future": {"auth_time": NOW + 61},
    "of a sign-in at null": {"auth_time": None},
    "about nobody": {"sub": ""},
    "about null": {"sub": None},
    "about a number": {"sub": 1},
    "about a list": {"sub": ["ana"]},
    "an ID token by its nonce": {"nonce": "n"},
    "an ID token by a nonce that is null": {"nonce": None},
    "an ID token by its access token's hash": {"at_hash": "h"},
    "an ID token by its code's hash": {"c_hash": "h"},
    "a logout token": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    "bound to a certificate": {"cnf": {"x5t#S256": "h"}},
    "bound to nothing": {"cnf": {}},
}


@pytest.mark.parametrize("claims", REFUSED.values(), ids=REFUSED)
def test_a_token_is_refused_that_is(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        read_principal(CLAIMS | claims, RULES, NOW)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "exp"])
def test_a_token_is_refused_without(claim: str) -> None:
    with pytest.raises(InvalidToken):
        read_principal({name: value for name, value in CLAIMS.items() if name != claim}, RULES, NOW)


def email(claims: dict[str, Any], **changed: Any) -> str:
    return read_principal(CLAIMS | claims, rules(**changed), NOW).email


@pytest.mark.parametrize("verified", [False, "true", 1, None, [True]])
def test_an_email_counts_only_where_its_issuer_verified_it(verified: object) -> None:
    assert email({"email": "ana@example.org", "email_verified": True}) == "ana@example.org"
    assert email({"email": "ana@example.org", "email_verified": verified}) == ""
    assert email({"email": "ana@example.org"}) == ""


@pytest.mark.parametrize(
    "address",
    [
        "ana@evil@example.org",
        "ana@example.org@evil.example",
        '"ana@evil"@example.org',
        "@example.org",
        "ana@",
        "ana",
        "",
        "ana @example.org",
        "ana@example.org ",
        "ana@example.org\n",
        "ana@example.org\0",
        "än@example.org",
        "ana@exаmple.org",  # a Cyrillic letter
        ["ana@example.org"],
        {"ana@example.org": True},
        None,
        1,
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_none(address: object) -> None:
    assert email({"email": address, "email_verified": True}) == ""


def test_an_issuer_vouches_for_its_own_domains_alone() -> None:
    domains = frozenset({"example.org", "example.net"})
    assert email({"email": "ana@example.net", "email_verified": True}, email_domains=domains) == "ana@example.net"
    for address in ("ana@evil.example", "ana@sub.example.org", "ana@xexample.org", "ana@example.org."):
        assert email({"email": address, "email_verified": True}, email_domains=domains) == ""


def test_the_domain_of_an_address_has_no_case_and_the_name_before_it_has() -> None:
    claims = {"email": "Ana@Example.ORG", "email_verified": True}
    assert email(claims, email_domains=frozenset({"example.org"})) == "Ana@example.org"


def test_an_email_elsewhere_needs_a_flag_of_its_own_beside_it() -> None:
    vouched = {"profile": {"mail": "ana@example.org", "mail_verified": True}}
    assert email(vouched, email_claim="profile.mail") == "ana@example.org"
    # The flag for one claim says nothing of another, which its user may have typed in.
    assert email({"upn": "admin@example.org", "email": "m@x.org", "email_verified": True}, email_claim="upn") == ""
    assert email({"profile": {"mail": "ana@example.org"}, "email_verified": True}, email_claim="profile.mail") == ""


def groups(claims: dict[str, Any], path: str = "groups") -> tuple[str, ...]:
    return read_principal(CLAIMS | claims, rules(groups_claim=path), NOW).groups


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (["admin", "staff"], ("admin", "staff")),
        ([], ()),
        ("admin", ("admin",)),
        ("a,admin", ("a,admin",)),
        ({"admin": 1}, ()),
        (["staff", ["admin"]], ()),
        (["staff", 1], ()),
        (["staff", None], ()),
        (True, ()),
        (None, ()),
    ],
)
def test_groups_are_a_list_of_strings_or_one_string(claim: object, expected: tuple[str, ...]) -> None:
    assert groups({"groups": claim}) == expected


def test_groups_are_found_along_a_dotted_path() -> None:
    assert groups({"realm_access": {"roles": ["admin"]}}, "realm_access.roles") == ("admin",)
    assert groups({"a": {"b": {"c": ["x"]}}}, "a.b.c") == ("x",)
    for claims in ({}, {"realm_access": ["roles"]}, {"realm_access": "roles"}, {"realm_access": {"roles": {}}}):
        assert groups(claims, "realm_access.roles") == ()


def test_a_claim_whose_name_has_dots_is_found_by_its_name() -> None:
    assert groups({"https://example.org/groups": ["x"]}, "https://example.org/groups") == ("x",)
    assert groups({"a": {"b.c": ["x"]}}, "a.b.c") == ("x",)


@pytest.mark.parametrize(
    ("audience", "kind", "good"),
    [
        (["ztproxy", "portal"], "jwt", False),
        (["ztproxy", "portal"], "at+jwt", False),  # the operator has not said that access tokens are for it
        ("both", "jwt", False),
        ("both", "at+jwt", True),
        (["both", "ztproxy"], "application/at+jwt", True),
        ("ztproxy", "jwt", True),
    ],
)
def test_a_token_for_a_client_by_which_people_sign_in_is_an_id_token(
    audience: str | list[str], kind: str, good: bool
) -> None:
    ours = replace(rules(clients=frozenset({"portal", "both"})), audiences=frozenset({"ztproxy", "both"}))
    if good:
        assert read_principal(CLAIMS | {"aud": audience}, ours, NOW, kind).id == "ana"
    else:
        with pytest.raises(InvalidToken, match="ID token"):
            read_principal(CLAIMS | {"aud": audience}, ours, NOW, kind)
