"""X.509-SVIDs: from a certificate whose chain the TLS library accepted to the workload that it proves.

The TLS library accepts any root of any trust domain, and knows nothing of SPIFFE. Here stand the rules of the X509-SVID
standard, and a second verification of the chain, by another library, against the bundle of the SVID's own trust domain
alone: without it, a federated partner's authority could sign any of our workloads. Knows no socket and no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, VerificationError

from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.bundle import TrustBundle, TrustBundles, check_signing
from proxy.identity.pem import extensions_of, key_of, subject_of, uris_of
from proxy.identity.principal import CertificateFacts, Peer
from proxy.identity.spiffe import SpiffeID, parse_spiffe_id

_SHORTEST_RSA = 2048
# The WebPKI profile (RFC 5280, no weak signature in the chain), but for what X509-SVID says otherwise of a leaf: its
# SAN may be critical beside a subject, and `check_leaf` has its own rule on extended key usage.
_POLICY = PolicyBuilder().extension_policies(
    ca_policy=ExtensionPolicy.webpki_defaults_ca(),
    ee_policy=ExtensionPolicy.webpki_defaults_ee()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None),
)


def verify_svid(leaf_der: bytes, verified_chain_der: Sequence[bytes], bundles: TrustBundles, now: float) -> Peer:
    """Return the workload that a client certificate proves.

    That depends on the bytes, the bundles and the time alone, and a client connects again with the same bytes: what
    they have proven is remembered until a certificate of the chain lapses. The TLS library has seen its key each time.

    Args:
        leaf_der: the client's certificate, DER.
        verified_chain_der: the chain that the TLS library verified, DER, leaf first; a root at its end is not believed
            for being there, and may be left out.
        bundles: the trust bundles of the snapshot.
        now: POSIX seconds.

    Raises:
        Refused: CERTIFICATE_REFUSED, with the rule that is broken.
    """
    key = (leaf_der, *verified_chain_der)
    known = bundles.recall(key, now)
    if known is not None:
        return known
    try:
        peer, begins = _verify(leaf_der, verified_chain_der, bundles, now)
    except VerificationError as error:
        rule = "chain must be valid, and end in the bundle of the SVID's own trust domain"
        raise Refused(CERTIFICATE_REFUSED, f"{rule}: {error}") from None
    except Exception as error:  # a parser may answer hostile bytes with anything; whatever it is, nothing is proven
        raise Refused(CERTIFICATE_REFUSED, str(error) or type(error).__name__) from None
    bundles.remember(key, peer, begins)
    return peer


def check_leaf(leaf: x509.Certificate) -> SpiffeID:
    """Return the SPIFFE ID of a leaf, by the rules that concern the certificate alone.

    Raises:
        ValueError: it breaks a rule of X509-SVID sections 2 to 5; the message states the rule.
    """
    uris = uris_of(leaf)
    if len(uris) != 1:
        raise ValueError("SVID must have exactly one URI name")
    spiffe_id = parse_spiffe_id(uris[0])
    if not spiffe_id.path:
        raise ValueError("spiffe id of a workload must have a path")
    extensions = extensions_of(leaf)
    if not is_strong(leaf):
        raise ValueError("key of an SVID must be P-256, P-384, P-521, Ed25519, or RSA of 2048 bits or more")
    check_no_authority(extensions, "SVID of a workload")
    _check_usage(extensions)
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    if not list(subject_of(leaf)) and not names.critical:
        raise ValueError("SAN must be critical where the subject is empty")
    return spiffe_id


def verify_chain(
    leaf: x509.Certificate, others: list[x509.Certificate], bundle: TrustBundle, now: float
) -> list[x509.Certificate]:
    """Return a chain from the leaf to a root of this bundle.

    Args:
        leaf: the certificate to verify.
        others: certificates from which the chain may be built.
        bundle: the only roots that count.
        now: POSIX seconds.

    Raises:
        VerificationError: there is no such chain that is valid now (RFC 5280 section 6).
    """
    moment = datetime.fromtimestamp(now, UTC)
    return _POLICY.store(bundle.store).time(moment).build_client_verifier().verify(leaf, others).chain


def _verify(
    leaf_der: bytes, verified_chain_der: Sequence[bytes], bundles: TrustBundles, now: float
) -> tuple[Peer, float]:
    """Return the workload, and the POSIX seconds from which on its chain is valid."""
    leaf, *others = [x509.load_der_x509_certificate(der) for der in (leaf_der, *verified_chain_der[1:])]
    spiffe_id = check_leaf(leaf)
    bundle = bundles.get(spiffe_id.trust_domain)
    if bundle is None:
        raise ValueError("trust domain of the spiffe id must have a trust bundle")
    chain = verify_chain(leaf, others, bundle, now)
    for signer in chain[1:]:
        check_signing(signer, spiffe_id.trust_domain)
    return _peer(spiffe_id, chain), max(each.not_valid_before_utc.timestamp() for each in chain)


def is_strong(leaf: x509.Certificate) -> bool:
    """Tell whether a leaf's own key is of a kind and length that proves something.

    `x509.verification` holds the keys that sign certificates to its profile, and not the leaf's.

    Raises:
        ValueError: the key cannot be read.
    """
    key = key_of(leaf)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _SHORTEST_RSA and key.key_size % 8 == 0
    return isinstance(key, ed25519.Ed25519PublicKey)


def check_no_authority(extensions: x509.Extensions, what: str) -> None:
    """Raise ValueError for a leaf that is a CA."""
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return  # RFC 5280 4.2.1.9: absent, it is no CA
    if constraints.ca:
        raise ValueError(f"{what} must not be a CA")


def facts_of(chain: Sequence[x509.Certificate], uri: str) -> CertificateFacts:
    """Return what is told of a verified chain, leaf first and root last; `uri` is the one URI of its SAN."""
    leaf = chain[0]
    der = leaf.public_bytes(Encoding.DER)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return CertificateFacts(
        der=der,
        sha256=hashlib.sha256(der).hexdigest(),
        subject=leaf.subject.rfc4514_string(),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        uri=uri,
        chain=tuple(signer.public_bytes(Encoding.DER) for signer in chain[1:-1]),
    )


def _check_usage(extensions: x509.Extensions) -> None:
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise ValueError("SVID must have key usage") from None
    if not usage.digital_signature:
        raise ValueError("key usage of an SVID must have digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise ValueError("key usage of a workload's SVID must not have keyCertSign or cRLSign")
    try:
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extended:
        raise ValueError("extended key usage of an SVID must include clientAuth")


def _peer(spiffe_id: SpiffeID, chain: list[x509.Certificate]) -> Peer:
    return Peer(
        id=str(spiffe_id),
        trust_domain=spiffe_id.trust_domain,
        path=spiffe_id.path,
        expires_at=min(certificate.not_valid_after_utc.timestamp() for certificate in chain),
        certificate=facts_of(chain, str(spiffe_id)),
    )
