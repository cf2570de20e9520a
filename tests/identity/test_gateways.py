"""Another gateway's users: an assertion counts on that gateway's connection, for one application, and nowhere else."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.config.limits import Limits
from proxy.config.mistake import Mistake
from proxy.config.schema import Authenticate, Identity, Issuer
from proxy.errors import TOKEN_INVALID, Refused
from proxy.http.message import RequestHead, Target
from proxy.identity.assertion import Assertions, SigningKey, signing_key
from proxy.identity.authenticate import Authenticator
from proxy.identity.issuers import Issuers, build_issuers
from proxy.identity.principal import ANONYMOUS, CertificateFacts, Peer, Principal
from tests.issuer import SigningKey as IssuerKey
from tests.issuer import compact

NOW = time.time()
KEY = signing_key(ec.generate_private_key(ec.SECP256R1()))
STRANGER = signing_key(ec.generate_private_key(ec.SECP256R1()))
FROM = "spiffe://example.org/gateway"
CLAIMS: dict[str, Any] = {
    "iss": "https://example.org", "aud": "https://wiki.example.org", "iat": int(NOW), "nbf": int(NOW),
    "exp": int(NOW) + 300, "jti": "a", "sub": "ana", "groups": ["engineering"], "idp": "corp",
    "email": "ana@example.org", "sid": "0f", "auth_time": int(NOW) - 600, "amr": ["otp"],
}  # fmt: skip


def peer(spiffe_id: str = FROM, kind: Any = "workload") -> Peer:
    facts = CertificateFacts(b"", "", "", "", NOW, NOW + 600, (), spiffe_id)
    trust_domain, slash, path = spiffe_id.removeprefix("spiffe://").partition("/")
    return Peer(spiffe_id, trust_domain, slash + path, NOW + 600, facts, kind)


def target(host: str = "wiki.example.org") -> Target:
    return Target(host, None, b"/", None, ("",))


def head(*assertions: str | bytes, field: bytes = b"x-ztproxy-assertion", bearer: str = "") -> RequestHead:
    texts = [text.encode() if isinstance(text, str) else text for text in assertions]
    fields = [(field, text) for text in texts] + ([(b"authorization", f"Bearer {bearer}".encode())] if bearer else [])
    return RequestHead(b"GET", b"/", (1, 1), [(b"host", b"wiki.example.org"), *fields])


def signed(key: SigningKey = KEY, **changes: Any) -> bytes:
    return key.sign({name: value for name, value in {**CLAIMS, **changes}.items() if value is not None})


Build = Callable[..., tuple[Issuers, list[Mistake]]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    (tmp_path / "gateway.json").write_bytes(Assertions((KEY,), "https://example.org").jwks(NOW))

    def built(**issuers: dict[str, Any]) -> tuple[Issuers, list[Mistake]]:
        usual = {"kind": "assertion", "jwks_file": str(tmp_path / "gateway.json"), "from": [FROM]}
        configs = {name: Issuer(**(usual | config)) for name, config in issuers.items()}
        return build_issuers(Identity(issuers=configs), Limits(), None, lambda *_: None)

    return built


@pytest.fixture
def authenticator(build: Build) -> Authenticator:
    issuers, mistakes = build(gateway={"email_domains": ["example.org"]})
    assert not mistakes
    return Authenticator(issuers, Limits())


async def who(
    authenticator: Authenticator,
    asked: RequestHead,
    by: Peer | None,
    host: str = "wiki.example.org",
    **rules: Any,
) -> Principal:
    return await authenticator.authenticate(asked, Authenticate(**rules), by, NOW, target(host))


async def test_a_gateways_user_is_the_principal(authenticator: Authenticator) -> None:
    principal = await who(authenticator, head(signed()), peer())
    assert (principal.kind, principal.id, principal.issuer, principal.method) == ("user", "ana", "gateway", "assertion")
    assert (principal.email, principal.groups) == ("ana@example.org", ("engineering",))
    assert (principal.issuer_url, principal.claims["idp"]) == ("https://example.org", "corp")
    assert principal.authenticated_at == int(NOW) - 600
    assert principal.expires_at == int(NOW) + 330


async def test_when_somebody_signed_in_is_unknown_rather_than_when_it_was_asserted(
    authenticator: Authenticator,
) -> None:
    assert (await who(authenticator, head(signed(auth_time=None)), peer())).authenticated_at is None


@pytest.mark.parametrize(
    "by",
    [
        None, peer("spiffe://example.org/other"), peer("spiffe://example.org/gateway/below"), peer("spiffe://example.org"),
        peer("spiffe://foreign.example/gateway"), peer(FROM, "device"),
    ],
)  # fmt: skip
async def test_on_any_other_connection_an_assertion_says_nothing(authenticator: Authenticator, by: Peer | None) -> None:
    for text in (signed(), b"nonsense"):
        principal = await who(authenticator, head(text), by)
        assert principal.kind == ("workload" if by is not None and by.kind == "workload" else "anonymous")
        assert principal == authenticator.recall(head(text), Authenticate(), by, NOW, target())


async def test_without_an_assertion_a_gateway_is_itself(authenticator: Authenticator) -> None:
    for asked in (head(), head(b""), head(signed(), field=b"x_ztproxy_assertion")):
        assert (await who(authenticator, asked, peer())).id == FROM


def forged(header: dict[str, Any], claims: dict[str, Any] = CLAIMS, signature: bytes = b"AA") -> bytes:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    return b".".join([*parts, signature])


REFUSED: dict[str, list[bytes]] = {
    "that is for another application": [signed(aud="https://payroll.example.org")],
    "that is for another port's application": [signed(aud="https://wiki.example.org:8443")],
    "that has ended": [signed(exp=int(NOW) - 31)],
    "that never ends": [signed(exp=None)],
    "that begins later": [signed(nbf=int(NOW) + 60)],
    "of another gateway": [signed(iss="https://foreign.example")],
    "by a key that is not published": [signed(STRANGER)],
    "by a key that is called like one that is": [SigningKey(KEY.kid, KEY.jwk, STRANGER.private).sign(CLAIMS)],
    "that is not signed": [forged({"alg": "none", "kid": KEY.kid}, signature=b"")],
    "with an algorithm of its own": [forged({"alg": "HS256", "kid": KEY.kid})],
    "that is an access token": [forged({"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"})],
    "that is an ID token": [signed(nonce="a")],
    "that is bound to a key": [signed(cnf={"jkt": "a"})],
    "of nobody": [signed(sub=None)],
    "of nobody's issuer": [signed(idp=None)],
    "that was signed in later": [signed(auth_time=int(NOW) + 60)],
    "that is there twice": [signed(), signed()],
    "that is no token": [b"nonsense"],
    "that is too long": [b"a" * 20_000],
}


@pytest.mark.parametrize("texts", REFUSED.values(), ids=REFUSED)
async def test_a_gateways_request_is_refused_with_an_assertion(
    authenticator: Authenticator, texts: list[bytes]
) -> None:
    with pytest.raises(Refused) as refused:
        await who(authenticator, head(*texts), peer())
    assert refused.value.row is TOKEN_INVALID
    assert dict(refused.value.headers)[b"www-authenticate"].startswith(b'Bearer error="invalid_token"')


async def test_what_was_verified_is_remembered_for_this_application_alone(authenticator: Authenticator) -> None:
    asked, rules = head(signed()), Authenticate()
    assert authenticator.recall(asked, rules, peer(), NOW, target()) is None
    principal = await who(authenticator, asked, peer())
    assert authenticator.recall(asked, rules, peer(), NOW, target()) is principal
    assert authenticator.recall(asked, rules, peer(), NOW, target("payroll.example.org")) is None
    assert authenticator.recall(asked, Authenticate(issuers=("corp",)), peer(), NOW, target()) is None
    assert authenticator.recall(asked, rules, None, NOW, target()) is ANONYMOUS
    assert authenticator.recall(asked, rules, peer(), NOW + 301, target()) is None
    with pytest.raises(Refused):
        await who(authenticator, asked, peer(), "payroll.example.org")


async def test_an_assertion_is_no_bearer_token(authenticator: Authenticator) -> None:
    text = signed().decode()
    await who(authenticator, head(text), peer())
    for by in (None, peer()):
        with pytest.raises(Refused) as refused:
            await who(authenticator, head(bearer=text), by)
        assert refused.value.row is TOKEN_INVALID


async def test_a_bearer_token_goes_before_an_assertion(build: Build, tmp_path: Path) -> None:
    key = IssuerKey.generate("a")
    (tmp_path / "corp.json").write_text(json.dumps({"keys": [key.jwk]}))
    corp = {
        "kind": "oidc", "issuer": "https://idp.example.org", "from": None, "jwks_file": str(tmp_path / "corp.json"),
        "bearer": {"audiences": ["ztproxy"]},
    }  # fmt: skip
    authenticator = Authenticator(build(gateway={}, corp=corp)[0], Limits())
    claims = {"iss": "https://idp.example.org", "aud": "ztproxy", "sub": "ben", "exp": int(NOW) + 60}
    token = compact({"alg": key.algorithm, "kid": "a", "typ": "at+jwt"}, claims, key).decode()
    assert (await who(authenticator, head(signed(), bearer=token), peer())).id == "ben"
    with pytest.raises(Refused):
        await who(authenticator, head(signed(), bearer="nonsense"), peer())


async def test_a_route_says_whose_users_it_takes(authenticator: Authenticator) -> None:
    assert (await who(authenticator, head(signed()), peer(), issuers=("gateway",))).id == "ana"
    with pytest.raises(Refused):
        await who(authenticator, head(signed()), peer(), issuers=("corp",))
    assert (await who(authenticator, head(signed()), peer(), header="none")).id == FROM


async def test_only_what_the_gateway_may_vouch_for_counts(authenticator: Authenticator) -> None:
    for email in ("ana@elsewhere.example", "ana@example.org@elsewhere.example", ["ana@example.org"], None):
        assert (await who(authenticator, head(signed(email=email)), peer())).email == ""
    assert (await who(authenticator, head(signed(groups=["a", 1])), peer())).groups == ()


async def test_the_users_of_a_gateways_issuers_can_be_told_apart(build: Build) -> None:
    issuers, mistakes = build(staff={"idp": "corp"}, partners={"idp": "partner"})
    assert not mistakes
    authenticator = Authenticator(issuers, Limits())
    for idp, name in (("corp", "staff"), ("partner", "partners")):
        for _ in range(2):
            assert (await who(authenticator, head(signed(idp=idp)), peer())).issuer == name
    with pytest.raises(Refused):
        await who(authenticator, head(signed(idp="third")), peer())


async def test_each_gateway_vouches_on_its_own_connection_alone(build: Build) -> None:
    other = "spiffe://example.org/other"
    issuers, _ = build(near={"idp": "corp"}, far={"from": [other], "idp": "partner"})
    authenticator = Authenticator(issuers, Limits())
    text = signed()
    await who(authenticator, head(text), peer())
    assert authenticator.recall(head(text), Authenticate(), peer(other), NOW, target()) is None
    with pytest.raises(Refused):
        await who(authenticator, head(text), peer(other))


def test_two_entries_for_the_same_users_are_a_mistake(build: Build) -> None:
    for one, other in (({}, {}), ({"idp": "corp"}, {}), ({"idp": "corp"}, {"idp": "corp"})):
        _, mistakes = build(one=one, other=other)
        assert [mistake.path for mistake in mistakes] == ["identity.issuers.other.issuer"]


def test_a_gateway_says_iss_by_its_trust_domain() -> None:
    assert Issuer(**{"kind": "assertion", "from": ["spiffe://partner.example/a/b"]}).url == "https://partner.example"
