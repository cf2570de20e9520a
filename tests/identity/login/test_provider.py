from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
from joserfc.jwk import ECKey

from proxy.identity.login.client import Credential
from proxy.identity.login.outcome import Ended, Identity, LoginRefused, LoginUnavailable, Postponed
from tests.identity.login.world import (
    ACCESS,
    BACK,
    CLIENT,
    CODE,
    NONCE,
    REFRESH,
    SECRET,
    VERIFIER,
    Login,
    groups,
    hash_of,
    login,
)
from tests.issuer import SigningKey, base64url, compact


@pytest.fixture
async def world() -> AsyncIterator[Login]:
    async with login() as world:
        world.answers()
        yield world


async def parameters(world: Login, **changed: Any) -> dict[str, str]:
    url = await world.provider().authorization_url(
        redirect_uri=BACK, state="s" * 43, nonce=NONCE, code_verifier=VERIFIER, **changed
    )
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}


async def refusal(world: Login, **changed: Any) -> str:
    with pytest.raises(LoginRefused) as refused:
        await world.redeem(**changed)
    for secret in (CODE, VERIFIER, NONCE, ACCESS, REFRESH, SECRET, world.token.get("id_token") or "none"):
        assert secret not in str(refused.value)
    return str(refused.value)


# Leaving


async def test_a_browser_is_sent_with_a_challenge_of_its_verifier(world: Login) -> None:
    sent = await parameters(world)
    assert sent["code_challenge"] == base64url(hashlib.sha256(VERIFIER.encode()).digest()).decode()
    assert (sent["code_challenge_method"], sent["response_type"], sent["response_mode"]) == ("S256", "code", "query")
    assert (sent["client_id"], sent["scope"], sent["redirect_uri"]) == (CLIENT, "openid email", BACK)
    assert (sent["tenant"], sent["nonce"]) == ("a", NONCE)
    assert VERIFIER not in sent.values()
    assert not {"prompt", "max_age", "acr_values", "login_hint"} & set(sent)


async def test_a_step_up_says_how_fresh_and_how_strong(world: Login) -> None:
    sent = await parameters(world, prompt="login", max_age=900.0, acr=("gold", "silver"), login_hint="ana@example.org")
    assert (sent["prompt"], sent["max_age"], sent["acr_values"]) == ("login", "900", "gold silver")
    assert sent["login_hint"] == "ana@example.org"


async def test_a_provider_without_s256_is_not_gone_to(world: Login) -> None:
    world.metadata["code_challenge_methods_supported"] = ["plain"]
    with pytest.raises(LoginUnavailable, match="S256"):
        await parameters(world)


# Coming back


async def test_a_code_makes_an_identity(world: Login) -> None:
    auth_time = int(world.now) - 30
    world.answers(auth_time=auth_time, amr=["pwd", "otp"], acr="gold", sid="sid-1", at_hash=hash_of(ACCESS))
    person = await world.redeem(iss=world.issuer.url)
    assert (person.issuer, person.issuer_url, person.subject) == ("corp", world.issuer.url, "ana")
    assert (person.email, person.groups, person.amr, person.acr) == (
        "ana@example.org",
        ("staff",),
        ("pwd", "otp"),
        "gold",
    )
    assert (person.authenticated_at, person.provider_sid, person.refresh_token) == (auth_time, "sid-1", REFRESH)
    assert person.access_expires_at == world.now + 60
    assert not {"nonce", "at_hash"} & set(person.claims)
    assert REFRESH not in repr(person)
    assert person.id_token not in repr(person)
    method, url, _, form = world.asked[0]
    assert (method, url) == ("POST", f"{world.issuer.url}/token")
    assert form == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
    }


async def test_an_answer_of_another_provider_is_refused_before_its_code_goes_anywhere(world: Login) -> None:
    assert "provider that was asked" in await refusal(world, iss="https://other.example")
    world.metadata["authorization_response_iss_parameter_supported"] = True
    assert "name its issuer" in await refusal(world)
    assert not world.asked


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "another audience": ({"aud": "other"}, (), "audience"),
    "another issuer": ({"iss": "https://other.example"}, (), "issuer"),
    "issuers in a list": ({"iss": ["https://other.example"]}, (), "issuer"),
    "several audiences and no party": ({"aud": [CLIENT, "other"]}, (), "authorized party"),
    "another party": ({"azp": "other"}, (), "authorized party"),
    "parties in a list": ({"azp": [CLIENT]}, (), "authorized party"),
    "another nonce": ({"nonce": "m" * 43}, (), "nonce"),
    "no nonce": ({}, ("nonce",), "nonce"),
    "a number as nonce": ({"nonce": 1}, (), "nonce"),
    "another access token's hash": ({"at_hash": hash_of("other")}, (), "at_hash"),
    "a hash that is no text": ({"at_hash": 7}, (), "at_hash"),
    "an end long ago": ({"exp": 1000}, (), "expired"),
    "no end": ({}, ("exp",), "expire"),
    "no beginning": ({}, ("iat",), "issued"),
    "a beginning to come": ({"iat": 9_999_999_999}, (), "iat"),
    "a proof to come": ({"auth_time": 9_999_999_999}, (), "auth_time"),
    "no subject": ({}, ("sub",), "subject"),
    "a subject too long": ({"sub": "a" * 256}, (), "subject"),
    "an event": ({"events": {}}, (), "event"),
}


@pytest.mark.parametrize(("claims", "without", "rule"), BAD.values(), ids=BAD)
async def test_an_id_token_is_refused_that_has(
    world: Login, claims: dict[str, Any], without: tuple[str, ...], rule: str
) -> None:
    world.answers(without=without, **claims)
    assert rule in await refusal(world)


async def test_a_party_that_is_us_may_share_its_token(world: Login) -> None:
    world.answers(aud=[CLIENT, "other"], azp=CLIENT)
    assert (await world.redeem()).subject == "ana"


async def test_a_sign_in_without_an_id_token_or_a_code_is_refused(world: Login) -> None:
    world.token.pop("id_token")
    assert "id token" in await refusal(world)
    with pytest.raises(LoginRefused, match="with a code"):
        await world.provider().redeem("", None, redirect_uri=BACK, nonce=NONCE, code_verifier=VERIFIER)


async def test_an_access_token_and_a_logout_token_are_no_id_tokens(world: Login) -> None:
    for kind in ("at+jwt", "logout+jwt"):
        world.answers(world.issuer.mint(header={"typ": kind}, aud=CLIENT, nonce=NONCE).decode())
        assert "by its type" in await refusal(world)


async def test_forged_id_tokens_are_refused(world: Login) -> None:
    stranger = SigningKey.generate("key-1")
    payload = {"iss": world.issuer.url, "aud": CLIENT, "sub": "ana", "nonce": NONCE, "iat": 1, "exp": 9_999_999_999}
    world.answers(compact({"alg": "ES256", "kid": "key-1"}, payload, stranger).decode())
    assert "signature" in await refusal(world)
    for algorithm in ("none", "HS256"):
        world.answers(compact({"alg": algorithm, "kid": "key-1"}, payload, stranger).decode())
        assert "algorithm" in await refusal(world)


async def test_keys_that_were_rotated_since_are_fetched(world: Login) -> None:
    await world.redeem()
    world.issuer.rotate()
    world.answers()
    assert (await world.redeem()).subject == "ana"


@pytest.mark.parametrize("apart", [-90, 90])
async def test_clocks_that_are_90_s_apart_sign_people_in(world: Login, apart: int) -> None:
    issued = int(world.now) + apart
    world.answers(iat=issued, auth_time=issued, exp=issued + 60)
    person = await world.redeem(max_age=0.0)
    assert person.authenticated_at == min(issued, world.now)


# Step-up


async def test_a_proof_that_is_too_old_or_too_weak_is_refused(world: Login) -> None:
    world.answers(auth_time=int(world.now) - 2000, acr="bronze")
    assert "max_age" in await refusal(world, max_age=900.0)
    assert "acr" in await refusal(world, acr=("gold",))
    world.answers()
    assert "max_age" in await refusal(world, max_age=900.0)  # not told when
    assert "acr" in await refusal(world, acr=("gold",))
    world.answers(auth_time=int(world.now) - 60, acr="gold")
    assert (await world.redeem(max_age=900.0, acr=("gold", "platinum"))).acr == "gold"


# Who it is


async def test_userinfo_completes_what_an_id_token_lacks(world: Login) -> None:
    world.answers(without=("groups", "email", "email_verified"))
    world.userinfo = {"sub": "ana", "groups": ["staff"], "email": "ana@example.org", "email_verified": True, "aud": "x"}
    person = await world.redeem()
    assert (person.groups, person.email, person.claims["aud"]) == (("staff",), "ana@example.org", CLIENT)
    assert world.asked[-1][2]["Authorization"] == f"Bearer {ACCESS}"


async def test_userinfo_of_somebody_else_is_refused(world: Login) -> None:
    world.answers(without=("groups",))
    world.userinfo = {"sub": "ben", "groups": ["admins"]}
    assert "userinfo" in await refusal(world)


async def test_an_access_token_that_ended_as_soon_as_it_was_given_is_a_refusal(world: Login) -> None:
    world.answers(without=("groups",))
    with pytest.raises(LoginUnavailable):
        await world.redeem()
    world.refuses = 401
    assert "accept the access token" in await refusal(world)
    refreshed = await world.provider().refresh(REFRESH, world.session())
    assert isinstance(refreshed, Postponed)
    assert refreshed.refresh_token == REFRESH


async def test_a_flag_vouches_for_the_value_that_it_came_with(world: Login) -> None:
    world.answers(without=("groups",))
    world.userinfo = {"sub": "ana", "email": "ben@example.org"}
    assert (await world.redeem()).email == ""


async def test_userinfo_is_asked_where_it_must_be(world: Login) -> None:
    await world.redeem()
    assert len(world.asked) == 1
    world.userinfo = {"sub": "ana"}
    await world.redeem(world.provider(userinfo="always"))
    assert len(world.asked) == 3
    world.answers(without=("groups",))
    assert (await world.redeem(world.provider(userinfo="never"))).groups == ()
    assert len(world.asked) == 4


async def test_an_address_that_is_not_verified_is_none(world: Login) -> None:
    for changed in ({"email_verified": False}, {"email_verified": "true"}, {"email": "ana@example.org@evil.example"}):
        world.answers(**changed)
        assert (await world.redeem()).email == ""
    world.answers()
    stranger = world.provider(rules={"email_domains": frozenset({"other.example"})})
    assert (await world.redeem(stranger)).email == ""


@pytest.mark.parametrize("said", [{"_claim_names": {"groups": "src1"}}, {"hasgroups": True}, {"hasgroups": "true"}])
async def test_groups_that_are_too_many_to_be_told_are_a_refusal_that_says_so(
    world: Login, said: dict[str, Any]
) -> None:
    world.answers(without=("groups",), **said)
    world.userinfo = {"sub": "ana"}
    with pytest.raises(LoginRefused, match="overage") as refused:
        await world.redeem()
    assert "groups" in (refused.value.public or "")


async def test_the_groups_file_adds_groups_by_subject_and_by_vouched_address(world: Login) -> None:
    file = groups(ana=("ops",))
    assert (await world.redeem(world.provider(groups=file))).groups == ("staff", "ops")


# Failing providers


async def test_a_provider_that_is_down_is_unavailable_and_its_endpoints_are_remembered(world: Login) -> None:
    provider = world.provider()
    world.down = True
    with pytest.raises(LoginUnavailable):
        await provider.metadata()
    world.down, world.clock = False, 31.0
    assert (await provider.metadata()).token_endpoint
    world.down, world.clock = True, 31.0 + 3601.0
    assert (await provider.metadata()).token_endpoint
    with pytest.raises(LoginUnavailable):
        await world.redeem(provider)
    world.clock = 31.0 + 86401.0
    with pytest.raises(LoginUnavailable):
        await provider.metadata()


async def test_endpoints_are_asked_for_once(world: Login) -> None:
    provider = world.provider()
    for _ in range(3):
        await world.redeem(provider)
    assert world.discoveries == 1


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": None},
        {"token_endpoint": "http://tokens.example"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "https://a:b@idp.example"},
    ],
)
async def test_a_discovery_document_is_refused_that_has(world: Login, document: dict[str, Any]) -> None:
    world.metadata.update(document)
    with pytest.raises(LoginUnavailable, match="discovery"):
        await world.provider().metadata()


@pytest.mark.parametrize("status", [400, 401])
async def test_errors_of_the_token_endpoint(world: Login, status: int) -> None:
    world.status, world.token = status, {"error": "invalid_grant", "error_description": CODE}
    assert "accept the code" in await refusal(world)
    for error, told in (("invalid_client", "invalid_client"), (f"{CODE}", "none of OAuth")):
        world.token = {"error": error}
        with pytest.raises(LoginUnavailable, match=told) as unavailable:
            await world.redeem()
        assert CODE not in str(unavailable.value)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": "a", "token_type": "mac"},
        {"access_token": "a", "token_type": 1},
        {"access_token": ["a"], "token_type": "Bearer"},
        {"access_token": "a\r\nb", "token_type": "Bearer"},
    ],
)
async def test_an_answer_without_a_bearer_token_is_none(world: Login, answer: dict[str, Any]) -> None:
    world.token = answer
    with pytest.raises(LoginUnavailable):
        await world.redeem()


# Who we are


async def test_a_secret_is_encoded_before_it_is_joined(world: Login) -> None:
    await world.redeem()
    sent = base64.b64decode(world.asked[0][2]["Authorization"].removeprefix("Basic ")).decode()
    assert sent == f"{CLIENT}:{quote_plus(SECRET)}"


async def test_a_client_authenticates_as_its_provider_asks(world: Login) -> None:
    world.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await world.redeem()
    assert world.asked[0][3]["client_secret"] == SECRET
    await world.redeem(world.provider(Credential()))
    assert world.asked[1][3]["client_id"] == CLIENT
    assert "client_secret" not in world.asked[1][3]
    assert "Authorization" not in world.asked[1][2]


async def test_a_client_with_a_key_signs_who_it_is_once(world: Login) -> None:
    key = ECKey.generate_key("P-256", private=True)
    provider = world.provider(Credential(key=key, algorithm="ES256"))
    for _ in range(2):
        await world.redeem(provider)
    from joserfc import jwt

    seen = [jwt.decode(form["client_assertion"], key, algorithms=["ES256"]) for *_, form in world.asked]
    assert {token.claims["iss"] for token in seen} == {token.claims["sub"] for token in seen} == {CLIENT}
    assert {token.claims["aud"] for token in seen} == {f"{world.issuer.url}/token"}
    assert len({token.claims["jti"] for token in seen}) == 2
    assert seen[0].claims["exp"] - seen[0].claims["iat"] <= 180
    assert seen[0].header["kid"] == key.thumbprint()


# Refreshing


async def test_a_refresh_reads_claims_again_and_keeps_when_the_person_signed_in(world: Login) -> None:
    session = world.session()
    world.answers(without=("nonce",), groups=["ops"])
    again = await world.provider().refresh(REFRESH, session)
    assert isinstance(again, Identity)
    assert (again.groups, again.amr, again.acr, again.provider_sid) == (("ops",), ("pwd",), "gold", "sid-1")
    assert again.authenticated_at == session.authenticated_at
    assert world.asked[0][3] == {"grant_type": "refresh_token", "refresh_token": REFRESH}


async def test_a_refresh_without_an_id_token_asks_userinfo(world: Login) -> None:
    world.answers("")
    world.userinfo = {"sub": "ana", "groups": ["ops"]}
    again = await world.provider().refresh(REFRESH, world.session())
    assert isinstance(again, Identity)
    assert (again.groups, again.id_token, again.acr) == (("ops",), "", "gold")
    world.userinfo = {"sub": "ben", "groups": ["admins"]}
    assert isinstance(await world.provider().refresh(REFRESH, world.session()), Ended)


async def test_a_refresh_that_the_provider_refuses_ends_the_session(world: Login) -> None:
    world.status, world.token = 400, {"error": "invalid_grant"}
    assert isinstance(await world.provider().refresh(REFRESH, world.session()), Ended)


async def test_a_refresh_for_somebody_else_ends_the_session(world: Login) -> None:
    assert isinstance(await world.provider().refresh(REFRESH, world.session(subject="ben")), Ended)


async def test_a_refresh_that_cannot_be_finished_keeps_the_token_that_it_was_given(world: Login) -> None:
    provider = world.provider(userinfo="always")
    world.answers()
    assert await provider.refresh(REFRESH, world.session()) == Postponed(
        "userinfo: status must be 200, not 403", REFRESH
    )
    world.answers(world.issuer.mint(header={"kid": "not-yet", "typ": "JWT"}, aud=CLIENT).decode())
    assert await world.provider().refresh(REFRESH, world.session()) == Postponed(
        "id token: key must be one of the issuer's", REFRESH
    )


async def test_a_provider_that_is_down_or_confused_ends_no_session(world: Login) -> None:
    provider = world.provider()
    world.status, world.token = 401, {"error": "invalid_client"}
    with pytest.raises(LoginUnavailable):
        await provider.refresh(REFRESH, world.session())
    world.down = True
    with pytest.raises(LoginUnavailable):
        await provider.refresh(REFRESH, world.session())


# Signing out


async def test_a_browser_is_sent_to_end_the_providers_session(world: Login) -> None:
    ask = world.provider().end_session_url
    url = await ask(id_token_hint="a.b.c", post_logout_redirect_uri="https://access.example.org/out", state="s")
    assert url is not None
    sent = parse_qs(urlsplit(url).query)
    assert (sent["id_token_hint"], sent["client_id"], sent["state"]) == (["a.b.c"], [CLIENT], ["s"])
    long = await ask(id_token_hint="a" * 5000, post_logout_redirect_uri="https://access.example.org/out")
    assert long is not None
    assert "id_token_hint" not in long
    world.metadata["end_session_endpoint"] = None
    assert await world.provider().end_session_url(id_token_hint="", post_logout_redirect_uri="https://a") is None
    world.down = True
    assert await world.provider().end_session_url(id_token_hint="", post_logout_redirect_uri="https://a") is None


EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}
ORDER: dict[str, Any] = {"aud": CLIENT, "events": EVENT, "jti": "j-1", "sid": "sid-1"}


@pytest.mark.parametrize("kind", ["logout+jwt", "JWT", "application/logout+jwt"])
async def test_a_logout_token_says_whose_session_ends(world: Login, kind: str) -> None:
    text = world.issuer.mint(header={"typ": kind}, **ORDER).decode()
    order = await world.provider().verify_logout_token(text, world.now)
    assert (order.issuer_url, order.subject, order.provider_sid, order.jti) == (
        world.issuer.url,
        "ana",
        "sid-1",
        "j-1",
    )
    assert order.expires_at > world.now + 300


BAD_ORDERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a nonce": ({"nonce": "n"}, ()),
    "no events": ({}, ("events",)),
    "another event": ({"events": {"https://other.example": {}}}, ()),
    "an event that is no object": ({"events": {"http://schemas.openid.net/event/backchannel-logout": True}}, ()),
    "events that are no object": ({"events": ["http://schemas.openid.net/event/backchannel-logout"]}, ()),
    "no id": ({}, ("jti",)),
    "a number as id": ({"jti": 1}, ()),
    "nobody": ({}, ("sub", "sid")),
    "a sid that is no text": ({"sid": 1}, ()),
    "another audience": ({"aud": "other"}, ()),
    "another issuer": ({"iss": "https://other.example"}, ()),
    "no beginning": ({}, ("iat",)),
    "no end": ({}, ("exp",)),
    "an end long ago": ({"exp": 1000}, ()),
    "an end in years": ({"exp": 9_999_999_999}, ()),
    "the type of an access token": ({"typ": "at+jwt"}, ()),
}


@pytest.mark.parametrize(("claims", "without"), BAD_ORDERS.values(), ids=BAD_ORDERS)
async def test_a_logout_token_is_refused_that_has(
    world: Login, claims: dict[str, Any], without: tuple[str, ...]
) -> None:
    kind = claims.get("typ", "logout+jwt")
    whole = {name: value for name, value in {**ORDER, **claims}.items() if name != "typ"}
    text = world.issuer.mint(header={"typ": kind}, without=without, **whole).decode()
    with pytest.raises(LoginRefused, match="logout token"):
        await world.provider().verify_logout_token(text, world.now)


async def test_a_forged_logout_token_is_refused(world: Login) -> None:
    text = world.issuer.mint(key=SigningKey.generate("key-1"), header={"typ": "logout+jwt"}, **ORDER).decode()
    with pytest.raises(LoginRefused, match="signature"):
        await world.provider().verify_logout_token(text, world.now)
