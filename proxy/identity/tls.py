"""TLS towards clients: contexts by server name, and the peer behind a finished handshake.

Builds every context from the config and the trust bundles when a snapshot is built. The listener takes a context per
connection, runs the handshake itself, and asks `peer_of` who came. Opens no socket.

A session that is resumed carries an old verification into a new connection: the certificate may have lapsed, or its
authority may have been taken out since. So nothing is resumed where client certificates count. Three locks, for the
`ssl` module has no switch: no tickets (`num_tickets` for TLS 1.3, `OP_NO_TICKET` for 1.2), a fresh context once one has
remembered a TLS 1.2 session, and `peer_of` refuses what was resumed all the same.
"""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from proxy.config import Mistake
from proxy.config.mistake import Location
from proxy.config.schema import ClientCertificates, ListenerTLS
from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.bundle import TrustBundles
from proxy.identity.device import verify_peer
from proxy.identity.keypair import KeyPair, read_key_pair
from proxy.identity.principal import Peer

# TLS 1.2: forward secrecy and an AEAD, or nothing (RFC 9325 4.2). Security level 2 refuses keys and signatures under
# 112 bits, in our certificates and in those of clients. TLS 1.3 suites are all of this kind.
_CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTOCOLS = ["http/1.1"]
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
# Reads server names. It holds no certificate: the handshake is ended before one would be needed.
_READER = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


class _Named(ssl.SSLObject):
    """A TLS connection that keeps the name which its client asked for; the library tells it once and keeps none."""

    requested: str | None = None


def _note_name(ssl_object: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    if isinstance(ssl_object, _Named):
        ssl_object.requested = name


def requested_name(ssl_object: ssl.SSLObject) -> str | None:
    """Return the server name (SNI) that the client asked for, or None."""
    return ssl_object.requested if isinstance(ssl_object, _Named) else None


class Incomplete(Exception):  # noqa: N818 - no error: more bytes are to come
    """The bytes so far are the beginning of a ClientHello."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """One certificate of the config, in whichever of the two forms it was written."""

    certificate: Path
    key: Path
    hosts: tuple[str, ...]
    client_certificates: ClientCertificates
    location: Location


class _Served:
    """One certificate: its client-certificate setting and its present context."""

    __slots__ = ("_bundles", "_context", "_minimum", "_pair", "setting")

    def __init__(
        self, pair: KeyPair, setting: ClientCertificates, minimum: ssl.TLSVersion, bundles: TrustBundles
    ) -> None:
        self._pair = pair
        self._minimum = minimum
        self._bundles = bundles
        self.setting = setting
        self._context = self._make()

    def context(self) -> ssl.SSLContext:
        if self.setting != "none" and self._context.session_stats()["number"]:
            # A TLS 1.2 session ID was handed out. A client that offers it to this context would be resumed, and then
            # refused; a context that does not know it makes a full handshake instead.
            self._context = self._make()
        return self._context

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._minimum
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(_PROTOCOLS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        self._pair.load_into(context)
        context.sslobject_class = _Named
        context.sni_callback = _note_name
        context.verify_mode = _VERIFY[self.setting]
        if self.setting != "none":
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            context.load_verify_locations(cadata=self._bundles.pem)
            if self._bundles.partial:  # a chain may end in an intermediate; which may end where is asked again
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


class ServerTLS:
    """The contexts of one listener.

    A server name is matched exactly, then against `*.` in place of its first label, then against `*`; a client that
    sends no name, or one that matches nothing, gets the first certificate.
    """

    __slots__ = ("_any", "_by_host", "_first", "expiries", "needs_server_name")

    def __init__(self, served: list[tuple[tuple[str, ...], _Served]], expiries: dict[str, float]) -> None:
        self._first = served[0][1]
        self._by_host = {host: one for hosts, one in served for host in hosts}
        self._any = self._by_host.get("*", self._first)
        self.needs_server_name = len(served) > 1
        self.expiries = expiries

    def context_for(self, server_name: str | None) -> ssl.SSLContext:
        """Return the context for a new connection; take it anew for each, and do not keep it."""
        return self._find(server_name).context()

    def setting_of(self, host: str | None) -> ClientCertificates:
        """Return `none`, `optional` or `required`: what a connection with this server name is asked for."""
        return self._find(host).setting

    def _find(self, name: str | None) -> _Served:
        if name is None:
            return self._first
        host = name.lower().removesuffix(".")
        exact = self._by_host.get(host)
        if exact is not None:
            return exact
        return self._by_host.get("*." + host.partition(".")[2], self._any)


def build_server_tls(
    tls: ListenerTLS, location: Location, bundles: TrustBundles, now: float
) -> tuple[ServerTLS | None, list[Mistake]]:
    """Build the contexts of a listener.

    Args:
        tls: the listener's `tls`.
        location: where it stands in the config, such as `("listeners", 0, "tls")`.
        bundles: the trust bundles of the snapshot.
        now: POSIX seconds.

    Returns:
        The contexts, or None where an error stands among the mistakes or was told elsewhere: the shape of `tls` and
        its hosts by `config/check`, a trust bundle that cannot be used by `load_bundles`.
    """
    declared = _declared(tls, location)
    mistakes = _trust_mistakes(declared, bundles)
    served: list[tuple[tuple[str, ...], _Served]] = []
    expiries: dict[str, float] = {}
    for one in declared:
        pair, wrong = read_key_pair(one.certificate, one.key, one.location, now)
        mistakes += wrong
        if pair is None or (one.client_certificates != "none" and not bundles.pem):
            continue
        try:
            made = _Served(pair, one.client_certificates, _VERSIONS[tls.minimum_version], bundles)
        except ssl.SSLError as error:  # what the security level does not take: a weak key, a weak signature
            reason = (error.reason or str(error)).lower().replace("_", " ")
            mistakes.append(Mistake((*one.location, "certificate"), f"certificate must be fit for TLS: {reason}"))
            continue
        served.append((one.hosts, made))
        expiries[str(one.certificate)] = pair.not_after
    if not served or len(served) < len(declared) or any(mistake.severity == "error" for mistake in mistakes):
        return None, mistakes
    return ServerTLS(served, expiries), mistakes


def read_server_name(client_hello: bytes) -> str | None:
    """Return the server name (SNI) that a ClientHello asks for, or None.

    Args:
        client_hello: the first bytes of a connection, as received.

    Raises:
        Incomplete: they are the beginning of a ClientHello; ask again with more.
        ValueError: they are no ClientHello that TLS 1.2 or later would answer.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(client_hello)
    names: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int:
        names.append(name)
        return int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)  # the handshake ends here

    _READER.sni_callback = note
    try:
        _READER.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        raise Incomplete from None
    except ssl.SSLError as error:
        if not names:
            raise ValueError(f"connection must begin with a ClientHello: {error.reason or error}") from None
    return names[0]


def peer_of(ssl_object: ssl.SSLObject, bundles: TrustBundles, now: float) -> Peer | None:
    """Return whoever is at the other end of a finished handshake, or None where no certificate was shown.

    Args:
        ssl_object: the connection's TLS object.
        bundles: the trust bundles of the snapshot.
        now: POSIX seconds.

    Raises:
        Refused: CERTIFICATE_REFUSED; the certificate proves nothing, or the session was resumed.
    """
    if ssl_object.context.verify_mode == ssl.CERT_NONE:
        return None
    if ssl_object.session_reused:
        raise Refused(CERTIFICATE_REFUSED, "session must not be resumed where client certificates count")
    leaf = ssl_object.getpeercert(binary_form=True)
    if leaf is None:
        return None
    chain = _verified_chain(ssl_object)
    if not chain or chain[0] != leaf:
        raise Refused(CERTIFICATE_REFUSED, "client certificate must have a verified chain")
    return verify_peer(leaf, chain, bundles, now)


def _verified_chain(ssl_object: ssl.SSLObject) -> list[bytes]:
    """Return the chain that OpenSSL verified, DER, leaf to root; empty where it verified none."""
    if sys.version_info >= (3, 13):
        return list(ssl_object.get_verified_chain())
    # Public from 3.13 on; before, the same function of the C object behind it, with certificates of its own type.
    import _ssl

    chain = ssl_object._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    return [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in chain or ()]


def _declared(tls: ListenerTLS, location: Location) -> list[_Declared]:
    if tls.certificate is not None and tls.key is not None:
        return [_Declared(tls.certificate, tls.key, (), tls.client_certificates, location)]
    return [
        _Declared(one.certificate, one.key, one.hosts, one.client_certificates, (*location, "certificates", index))
        for index, one in enumerate(tls.certificates)
    ]


def _trust_mistakes(declared: list[_Declared], bundles: TrustBundles) -> list[Mistake]:
    if bundles.pem or not bundles.complete:
        return []
    return [
        Mistake(
            (*one.location, "client_certificates"),
            "client certificates must have a trust bundle, or authorities of devices, to verify them",
        )
        for one in declared
        if one.client_certificates != "none"
    ]
