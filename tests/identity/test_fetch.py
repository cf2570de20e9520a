"""What comes of asking an issuer, kind or hostile, over real connections."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from proxy.identity import fetch as fetching
from proxy.identity.fetch import https_fetch
from proxy.identity.oidc import DOCUMENT_BYTES, Fetch, FetchFailed, fetch_jwks
from tests.issuer import FakeIssuer, Page

ISSUER = "https://idp.example.org"


@pytest.fixture
def fetch() -> Fetch:
    return https_fetch(ssl.create_default_context())


async def test_keys_are_found_by_discovery(fetch: Fetch) -> None:
    async with FakeIssuer() as issuer:
        issuer.headers = {"Cache-Control": "public, max-age=120"}
        found = await fetch_jwks(fetch, issuer.url, None)
        assert (found.body, found.max_age) == (issuer.jwks(), 120.0)
        assert issuer.requests == {"discovery": 1, "keys": 1}


async def test_keys_at_a_known_place_need_no_discovery(fetch: Fetch) -> None:
    async with FakeIssuer() as issuer:
        found = await fetch_jwks(fetch, ISSUER, issuer.jwks_url)
        assert (found.body, found.max_age) == (issuer.jwks(), None)
        assert issuer.requests == {"keys": 1}


@pytest.mark.parametrize(
    "header", ["no-store", "max-age=", "max-age=-1", "max-age=x", "max-age=1, max-age=2", "s-maxage=5"]
)
async def test_an_age_that_is_unclear_is_none(fetch: Fetch, header: str) -> None:
    async with FakeIssuer() as issuer:
        issuer.headers = {"Cache-Control": header}
        assert (await fetch(issuer.jwks_url)).max_age is None


@pytest.mark.parametrize("page", ["discovery", "keys"])
async def test_no_redirect_is_followed(fetch: Fetch, page: Page) -> None:
    async with FakeIssuer() as issuer, FakeIssuer() as elsewhere:
        issuer.redirect(elsewhere.jwks_url, on=page)
        with pytest.raises(FetchFailed, match="302"):
            await fetch_jwks(fetch, issuer.url, None)
        assert not elsewhere.requests


@pytest.mark.parametrize("status", [204, 206, 404, 500])
async def test_only_200_is_an_answer(fetch: Fetch, status: int) -> None:
    async with FakeIssuer() as issuer:
        issuer.fail(status)
        with pytest.raises(FetchFailed, match=str(status)):
            await fetch(issuer.jwks_url)


async def test_an_answer_that_is_too_large_is_cut_off(fetch: Fetch) -> None:
    async with FakeIssuer() as issuer:
        issuer.garbage(b" " * (DOCUMENT_BYTES + 1))
        with pytest.raises(FetchFailed, match="at most"):
            await fetch(issuer.jwks_url)
        issuer.garbage(b" " * DOCUMENT_BYTES)
        assert len((await fetch(issuer.jwks_url)).body) == DOCUMENT_BYTES


async def test_an_answer_is_not_decompressed(fetch: Fetch) -> None:
    async with FakeIssuer() as issuer:
        issuer.garbage(gzip.compress(b" " * 10_000_000), **{"Content-Encoding": "gzip"})
        with pytest.raises(FetchFailed, match="encoded"):
            await fetch(issuer.jwks_url)


@pytest.mark.parametrize("slow", ["hang", "drip"])
async def test_an_answer_has_a_deadline_to_its_last_byte(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", 0.15)
    async with FakeIssuer() as issuer:
        getattr(issuer, slow)()
        with pytest.raises(FetchFailed, match=r"within 0\.15 s"):
            await https_fetch(ssl.create_default_context())(issuer.jwks_url)


async def test_an_issuer_that_is_gone_is_a_failure(fetch: Fetch) -> None:
    async with FakeIssuer() as issuer:
        url = issuer.jwks_url
    with pytest.raises(FetchFailed, match="ClientConnectorError"):
        await fetch(url)


async def test_an_issuer_that_does_not_speak_http_is_a_failure(fetch: Fetch) -> None:
    async def rubbish(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01rubbish\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(rubbish, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchFailed):
            await fetch(f"http://127.0.0.1:{port}/jwks")


async def test_proxies_of_the_environment_are_not_used(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with FakeIssuer() as issuer:
        assert (await fetch(issuer.jwks_url)).body == issuer.jwks()


# https


def make_certificate(folder: Path, address: str = "127.0.0.1", days: int = 1) -> tuple[ssl.SSLContext, str]:
    """Return a server context with a self-signed certificate, and the certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=2 + days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    (folder / "idp.pem").write_bytes(pem)
    (folder / "idp.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "idp.pem", folder / "idp.key")
    return context, pem.decode()


async def test_an_https_issuer_of_the_configured_authority_is_trusted(tmp_path: Path) -> None:
    server, ca = make_certificate(tmp_path)
    async with FakeIssuer(tls=server) as issuer:
        found = await fetch_jwks(https_fetch(ssl.create_default_context(cadata=ca)), issuer.url, None)
        assert found.body == issuer.jwks()


@pytest.mark.parametrize(
    ("address", "days", "trusted"),
    [("127.0.0.1", 1, False), ("127.0.0.2", 1, True), ("127.0.0.1", -1, True)],
    ids=["self-signed", "of another host", "expired"],
)
async def test_a_certificate_is_refused_that_is(address: str, days: int, trusted: bool, tmp_path: Path) -> None:
    server, ca = make_certificate(tmp_path, address, days)
    context = ssl.create_default_context(cadata=ca if trusted else None)
    async with FakeIssuer(tls=server) as issuer:
        with pytest.raises(FetchFailed, match="certificate must be trusted"):
            await fetch_jwks(https_fetch(context), issuer.url, None)
        assert not issuer.requests
