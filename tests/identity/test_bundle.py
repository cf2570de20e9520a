"""A trust bundle is the roots of one trust domain, and what is no root of it is a mistake."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.config import Mistake
from proxy.config.schema import Identity
from proxy.identity.authority import Authority
from proxy.identity.bundle import TrustBundle, TrustBundles, check_signing, load_bundles
from tests.identity.forge import HOUR, NOW, Forged, forge, forge_authority

ROOT = forge_authority(uris=["spiffe://example.org"])
NEXT = forge_authority(subject="next root")
LAPSED = forge_authority(subject="lapsed root", not_after=NOW - HOUR / 2)
FUTURE = forge_authority(subject="future root", not_before=NOW + HOUR)
PARTNER = forge_authority(subject="partner root", uris=["spiffe://partner.example"])
BETWEEN = forge_authority(ROOT, subject="between")
LEAF = forge(ROOT, uris=["spiffe://example.org/web"])


def load(
    directory: Path, contents: dict[str, bytes], trust_domain: str = "example.org", now: float = NOW.timestamp()
) -> tuple[TrustBundles, list[Mistake]]:
    """Load bundles out of files with these contents, one for each trust domain."""
    files = {}
    for index, (name, content) in enumerate(contents.items()):
        files[name] = directory / f"{index}.pem"
        files[name].write_bytes(content)
    identity = Identity.model_validate({"trust_bundles": files})
    return load_bundles(identity, trust_domain, now)


def pem(*certificates: Forged) -> bytes:
    return b"".join(one.pem for one in certificates)


def test_each_trust_domain_has_its_own_roots(tmp_path: Path) -> None:
    bundles, mistakes = load(tmp_path, {"example.org": pem(ROOT, NEXT), "partner.example": pem(PARTNER)})
    assert mistakes == []
    assert list(bundles) == ["example.org", "partner.example"]
    assert bundles["example.org"].certificates == (ROOT.certificate, NEXT.certificate)
    assert bundles["partner.example"].certificates == (PARTNER.certificate,)
    assert "unknown.example" not in bundles


def test_it_is_known_that_a_bundle_is_missing_because_of_its_mistake(tmp_path: Path) -> None:
    whole, _ = load(tmp_path, {"example.org": pem(ROOT), "partner.example": pem(PARTNER)})
    part, _ = load(tmp_path, {"example.org": pem(ROOT), "partner.example": b"none"})
    empty, _ = load(tmp_path, {})
    assert (whole.complete, part.complete, empty.complete) == (True, False, True)
    assert list(part) == ["example.org"]


def test_the_union_is_every_root_once(tmp_path: Path) -> None:
    bundles, _ = load(tmp_path, {"example.org": pem(ROOT, ROOT, NEXT), "partner.example": pem(PARTNER)})
    union = x509.load_pem_x509_certificates(bundles.pem.encode())
    assert union == [ROOT.certificate, NEXT.certificate, PARTNER.certificate]


def test_bundles_of_the_same_roots_are_equal(tmp_path: Path) -> None:
    # A reload compares them to find out which live connections must be verified again.
    first, _ = load(tmp_path, {"example.org": pem(ROOT)})
    again, _ = load(tmp_path, {"example.org": pem(ROOT)})
    other, _ = load(tmp_path, {"example.org": pem(NEXT)})
    assert first == again
    assert first != other
    assert first != TrustBundles()


def test_the_development_authority_makes_a_bundle(tmp_path: Path) -> None:
    made = Authority.create("example.org").bundle_pem
    # Not `NOW`, which is when tests were collected.
    bundles, mistakes = load(tmp_path, {"example.org": made}, now=time.time())
    assert (list(bundles), mistakes) == (["example.org"], [])


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must hold PEM certificates"),
        (b"no certificate", "must hold PEM certificates"),
        (LEAF.key_pem, "must hold PEM certificates"),
        (pem(LEAF), "must be a CA"),
        (pem(forge_authority(usages=["digital_signature"])), "must have keyCertSign"),
        (pem(BETWEEN), "self-signed roots alone"),
        (pem(PARTNER), "no URI name but spiffe://example.org"),
        (pem(forge_authority(uris=["spiffe://example.org/ca"])), "no URI name but spiffe://example.org"),
        (pem(LAPSED), "must be valid now"),
        (pem(FUTURE), "must be valid now"),
        (pem(LAPSED, FUTURE), "must be valid now"),
    ],
)
def test_a_bundle_without_a_root_is_a_mistake(tmp_path: Path, content: bytes, rule: str) -> None:
    bundles, mistakes = load(tmp_path, {"example.org": content})
    assert not bundles
    assert mistakes
    for mistake in mistakes:
        assert (mistake.path, mistake.severity) == ("identity.trust_bundles.example.org", "error")
        assert rule in mistake.rule


@pytest.mark.parametrize("other", [LEAF, BETWEEN, PARTNER], ids=["a leaf", "an intermediate", "a partner's root"])
def test_a_certificate_that_is_no_root_beside_one_is_a_mistake(tmp_path: Path, other: Forged) -> None:
    bundles, [mistake] = load(tmp_path, {"example.org": pem(ROOT, other)})
    assert mistake.severity == "error"
    assert other.certificate.subject.rfc4514_string() in mistake.rule
    assert bundles["example.org"].certificates == (ROOT.certificate,)


@pytest.mark.parametrize("other", [LAPSED, FUTURE])
def test_a_lapsed_root_beside_a_valid_one_is_a_warning_and_left_out(tmp_path: Path, other: Forged) -> None:
    bundles, [mistake] = load(tmp_path, {"example.org": pem(other, ROOT)})
    assert mistake.severity == "warning"
    assert bundles["example.org"].certificates == (ROOT.certificate,)


def test_a_file_that_is_absent_is_a_mistake(tmp_path: Path) -> None:
    identity = Identity.model_validate({"trust_bundles": {"example.org": tmp_path / "absent.pem"}})
    bundles, [mistake] = load_bundles(identity, "example.org", NOW.timestamp())
    assert not bundles
    assert "must be readable" in mistake.rule
    assert "absent.pem" in mistake.rule


def test_a_name_that_is_no_trust_domain_is_a_mistake(tmp_path: Path) -> None:
    bundles, [mistake] = load(tmp_path, {"Example.org": pem(ROOT)})
    assert not bundles
    assert mistake.path == "identity.trust_bundles.Example.org"
    assert "trust domain must hold only" in mistake.rule


def test_our_own_name_must_be_a_trust_domain(tmp_path: Path) -> None:
    _, [mistake] = load(tmp_path, {"example.org": pem(ROOT)}, "spiffe://example.org")
    assert mistake.path == "trust_domain"


def test_a_root_that_two_trust_domains_share_is_a_warning(tmp_path: Path) -> None:
    bundles, [mistake] = load(tmp_path, {"a.example": pem(NEXT), "b.example": pem(NEXT)})
    assert (mistake.path, mistake.severity) == ("identity.trust_bundles.b.example", "warning")
    assert "each can sign for the other" in mistake.rule
    assert len(bundles) == 2


def test_every_mistake_of_every_bundle_is_told_at_once(tmp_path: Path) -> None:
    contents = {"a.example": pem(LEAF, BETWEEN), "B": pem(ROOT), "c.example": b""}
    _, mistakes = load(tmp_path, contents)
    assert [mistake.path.rpartition(".trust_bundles.")[2] for mistake in mistakes] == ["a.example"] * 2 + [
        "B",
        "c.example",
    ]


def test_a_root_signed_by_itself_under_another_key_is_none(tmp_path: Path) -> None:
    impostor = forge_authority(Forged(ROOT.certificate, rsa.generate_private_key(65537, 2048)), subject="root")
    assert impostor.certificate.subject == impostor.certificate.issuer
    bundles, [mistake] = load(tmp_path, {"example.org": pem(impostor)})
    assert not bundles
    assert "self-signed roots alone" in mistake.rule


def test_a_root_may_leave_its_key_usage_out() -> None:
    check_signing(forge_authority(usages=None).certificate, "example.org")


def test_an_old_root_without_basic_constraints_is_no_ca() -> None:
    with pytest.raises(ValueError, match="must be a CA"):
        check_signing(forge_authority(ca=None).certificate, "example.org")


def test_bundles_do_not_change() -> None:
    bundle = TrustBundle("example.org", (ROOT.certificate,))
    with pytest.raises(AttributeError):
        bundle.trust_domain = "other.example"  # type: ignore[misc]
    assert not hasattr(TrustBundles([bundle]), "__setitem__")
