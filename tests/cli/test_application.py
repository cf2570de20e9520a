"""What commands ask of an application's host: over verified TLS, and believing little of what it says."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy.cli.application import Application, Refusal, Unreachable
from tests.gateway import RawUpstream, Reader, read_request
from tests.world import World

TOKEN = "ztcl_" + "a" * 43


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://wiki.example.org", "https://wiki.example.org", ""),
        ("https://WIKI.example.org:443/?a=b", "https://wiki.example.org", ""),
        ("https://wiki.example.org:8443/app/?a=b#c", "https://wiki.example.org:8443", "/app/"),
        ("https://wiki.example.org?a=/b", "https://wiki.example.org", ""),
        ("https://[::1]:8443/a", "https://[::1]:8443", "/a"),
    ],
)
def test_an_application_is_an_origin_and_the_path_of_a_route(url: str, origin: str, path: str) -> None:
    application = Application(url, None)
    assert application.origin == origin
    page = application.page("http://127.0.0.1:1/callback", "v" * 43, "s" * 43)
    assert page.startswith(f"{origin}/.ztproxy/command-line{path}?")
    query = parse_qs(urlsplit(page).query)
    assert set(query) == {"redirect_uri", "code_challenge", "code_challenge_method", "state"}
    assert "v" * 43 not in page


@pytest.mark.parametrize(
    "url",
    [
        "", "wiki.example.org", "http://wiki.example.org/", "https://", "https:///x", "https://a@wiki.example.org/",
        "https://wiki.example.org\\@evil.example/", "https://wiki.example.org#@evil.example/", "https://wiki.example.org:0/",
        "https://wiki.example.org:65536/", "https://wiki.example.org:/", "https://{wiki,evil}.example.org/",
        "https://wiki.example.org/a b", "https://wiki.example.org/\n", "https://wíki.example.org/", "file:///etc/passwd",
        "HTTPS://wiki.example.org/",
    ],
)  # fmt: skip
def test_what_another_program_would_read_otherwise_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="URL must be one of https"):
        Application(url, None)


@pytest.mark.parametrize("text", [None, "", "nonsense"])
def test_a_file_that_holds_no_certificates_is_told(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"ca\.pem must hold PEM certificates: "):
        Application("https://wiki.example.org", path)


class Host:
    """A host that says what a test wants, over TLS."""

    def __init__(self, world: World) -> None:
        self.answer = b""
        self.asked: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(world.directory / "edge.pem", world.directory / "edge.key")

        def script(sock: socket.socket) -> None:
            with context.wrap_socket(sock, server_side=True) as tls:
                received = read_request(Reader(tls))
                assert received is not None
                self.asked.append(f"{received.method} {received.target} {received.values('authorization')}")
                tls.sendall(self.answer)

        self.listening = RawUpstream(script)
        self.ca = world.directory / "ca.pem"
        self.url = f"https://localhost:{self.listening.port}"

    def says(self, status: int, body: object, *fields: str) -> Application:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(text)}", "connection: close", *fields]
        self.answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + text
        return Application(self.url, self.ca)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Host(World(tmp_path))
    yield made
    made.listening.close()


def test_a_token_is_told_with_whose_it_is_and_until_when(host: Host) -> None:
    told = {"access_token": TOKEN, "expires_in": 60, "user": "ana\x1b[2J\u202e"}
    token = host.says(200, told).redeem("c", "http://127.0.0.1:1/", "v" * 43)
    assert (token.text, token.user) == (TOKEN, "ana?[2J?")
    assert abs(token.expires_at - time.time() - 60) < 10
    assert TOKEN not in repr(token)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}), (200, []), (200, b""), (200, b"<html>"), (200, {"access_token": 1}), (200, {"access_token": "x"}),
        (200, {"access_token": TOKEN + '"\n'}), (400, {"detail": "Too late.\x1b"}), (302, {"access_token": TOKEN}),
    ],
)  # fmt: skip
def test_a_host_that_gives_no_token_is_told_of(host: Host, status: int, body: object) -> None:
    with pytest.raises(Refusal) as refusal:
        host.says(status, body).redeem("c", "http://127.0.0.1:1/", "v" * 43)
    assert "\x1b" not in str(refusal.value)


def test_a_redirect_is_never_followed(host: Host) -> None:
    application = host.says(302, {}, f"location: {host.url}/elsewhere")
    with pytest.raises(Unreachable, match="answered 302"):
        application.look(TOKEN)
    with pytest.raises(Unreachable, match="answered 302"):
        application.revoke(TOKEN)
    assert host.asked == [f"GET /.ztproxy/token ['Bearer {TOKEN}']", "POST /.ztproxy/revoke []"]


@pytest.mark.parametrize(("status", "good"), [(200, True), (401, False)])
def test_a_token_is_good_while_its_host_says_so(host: Host, status: int, good: bool) -> None:
    assert (host.says(status, {"expires_in": 5, "user": "ana"}).look(TOKEN) is not None) == good


@pytest.mark.parametrize(("status", "greets"), [(401, True), (200, False), (302, False), (404, False), (503, False)])
def test_an_application_is_one_that_people_sign_in_to(host: Host, status: int, greets: bool) -> None:
    application = host.says(status, {})
    if greets:
        application.greet()
    else:
        with pytest.raises(Unreachable, match=f"answered {status}, and must be an application"):
            application.greet()
    assert host.asked == ["GET /.ztproxy/token []"]


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_any_other_answer_says_nothing_of_a_token(host: Host, status: int) -> None:
    with pytest.raises(Unreachable, match=f"answered {status}"):
        host.says(status, {}).look(TOKEN)


def test_a_certificate_that_does_not_verify_is_told_with_the_way_out(host: Host) -> None:
    host.says(200, {})
    with pytest.raises(Unreachable, match="--ca names the file of a private CA"):
        Application(host.url, None).look(TOKEN)
    assert host.asked == []


def test_a_host_that_is_not_there_is_told(host: Host) -> None:
    host.listening.close()
    with pytest.raises(Unreachable, match="cannot be reached: "):
        Application(host.url, host.ca).look(TOKEN)
