"""HTTP/1.1 through the running gateway: what a client sends, what the upstream gets, what comes back."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from tests.gateway import (
    PATIENCE,
    Client,
    Gateway,
    RawUpstream,
    Reader,
    Received,
    Upstream,
    ok,
    read_chunks,
    read_request,
    wait_for,
)

HOST = "Host: open.example.org\r\n"


@pytest.fixture
def client(edge: Gateway) -> Client:
    with Client(edge.address("plain")) as connected:
        yield connected  # type: ignore[misc]


def test_a_connection_carries_many_requests(client: Client, upstream: Upstream) -> None:
    for number in range(5):
        assert client.get(f"/{number}", "open.example.org").body == f"/{number}".encode()


def test_the_upstream_gets_the_target_byte_for_byte(client: Client, upstream: Upstream) -> None:
    target = "/a%20b/%E2%82%AC/~x/%7Ey;v=1/,@:!$&'()*+=?q=%2F%2e%00&x=a/../b?#".rstrip("#")
    client.get(target, "open.example.org")
    assert upstream.requests[-1].target == target


def test_pipelined_requests_are_answered_in_order(client: Client, upstream: Upstream) -> None:
    client.send(b"".join(f"GET /{number} HTTP/1.1\r\n{HOST}\r\n".encode() for number in range(20)))
    assert [client.answer().body for _ in range(20)] == [f"/{number}".encode() for number in range(20)]


def test_a_bad_request_behind_good_pipelined_ones_is_refused_after_their_answers(
    client: Client, upstream: Upstream
) -> None:
    client.send(f"GET /1 HTTP/1.1\r\n{HOST}\r\nGET /2 HTTP/1.1\r\n{HOST}\r\nGET  /3 HTTP/1.1\r\n{HOST}\r\n".encode())
    assert client.answer().body == b"/1"
    assert client.answer().body == b"/2"
    assert client.answer().code == "request_malformed"
    assert client.closed()
    assert [request.target for request in upstream.requests] == ["/1", "/2"]


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_chunked_body_reaches_the_upstream_whole_however_it_is_cut(
    client: Client, upstream: Upstream, step: int
) -> None:
    request = f"POST /x HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n".encode()
    request += b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nChecksum: 1\r\nX-Ztproxy-Subject: root\r\n\r\n"
    for start in range(0, len(request), step):
        client.send(request[start : start + step])
    assert client.answer().status == 200
    received = upstream.requests[-1]
    assert received.body == b"hello world"
    assert received.values("transfer-encoding") == ["chunked"]
    assert b"root" not in received.raw
    assert b"ext=1" not in received.raw
    assert received.raw.endswith(b"checksum: 1\r\n\r\n")


def test_a_body_with_a_length_reaches_the_upstream_with_it(client: Client, upstream: Upstream) -> None:
    body = bytes(range(256)) * 4000
    answer = client.get("/x", "open.example.org", method="POST", body=body)
    assert answer.status == 200
    assert upstream.requests[-1].body == body
    assert upstream.requests[-1].values("content-length") == [str(len(body))]
    assert client.get("/next", "open.example.org").body == b"/next"


def test_expect_is_answered_after_the_decision_and_not_forwarded(client: Client, upstream: Upstream) -> None:
    client.send(f"POST /x HTTP/1.1\r\n{HOST}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
    assert client.reader.line() == b"HTTP/1.1 100 Continue"
    assert client.reader.line() == b""
    client.send(b"abc")
    assert client.answer().status == 200
    assert upstream.requests[-1].values("expect") == []
    assert upstream.requests[-1].body == b"abc"


def test_a_refused_request_that_waits_for_100_is_answered_without_it(client: Client, upstream: Upstream) -> None:
    client.send(b"POST /x HTTP/1.1\r\nHost: wiki.example.org\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.interim) == (401, [])
    assert answer.get("connection") == "close"
    assert upstream.requests == []


def test_an_unknown_expectation_is_417(client: Client, upstream: Upstream) -> None:
    client.send(f"POST /x HTTP/1.1\r\n{HOST}Content-Length: 3\r\nExpect: cake\r\n\r\nabc".encode())
    assert client.answer().status == 417


def test_head_has_the_length_and_no_body(client: Client, upstream: Upstream) -> None:
    upstream.script = lambda request, sock: (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + (b"" if request.method == "HEAD" else b"hello")
    )
    answer = client.get("/x", "open.example.org", method="HEAD")
    assert (answer.get("content-length"), answer.body) == ("5", b"")
    assert client.get("/x", "open.example.org").body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_at_its_head(client: Client, upstream: Upstream, status: int) -> None:
    upstream.script = lambda request, sock: f"HTTP/1.1 {status} X\r\netag: 1\r\n\r\n".encode()
    answer = client.get("/x", "open.example.org")
    assert (answer.status, answer.get("etag"), answer.get("transfer-encoding")) == (status, "1", None)
    assert client.get("/y", "open.example.org").status == status


def test_early_hints_are_passed_on_and_100_is_not(client: Client, upstream: Upstream) -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
    upstream.script = lambda request, sock: hints + ok()
    answer = client.get("/x", "open.example.org")
    assert (answer.interim, answer.status) == ([103], 200)


def test_a_chunked_answer_arrives_whole_with_its_trailers(client: Client, upstream: Upstream) -> None:
    upstream.script = lambda request, sock: (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nchecksum: 9\r\n\r\n"
    )
    client.send(f"GET / HTTP/1.1\r\n{HOST}\r\n".encode())
    while line := client.reader.line():
        assert not line.lower().startswith(b"content-length")
    assert read_chunks(client.reader) == b"hello world"
    assert bytes(client.reader.seen).endswith(b"checksum: 9\r\n\r\n")


def test_an_answer_that_ends_with_its_connection_is_chunked_for_the_client(client: Client, upstream: Upstream) -> None:
    def script(request: Received, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")

    upstream.script = script
    answer = client.get("/x", "open.example.org")
    assert (answer.get("transfer-encoding"), answer.body) == ("chunked", b"hello")
    assert client.get("/x", "open.example.org").body == b"hello"


def test_http_1_0_gets_a_body_without_chunks_and_the_end_of_the_connection(client: Client, upstream: Upstream) -> None:
    upstream.script = lambda request, sock: (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    client.send(f"GET / HTTP/1.0\r\n{HOST}\r\n".encode())
    answer = client.answer()
    assert (answer.get("transfer-encoding"), answer.body, answer.get("connection")) == (None, b"hello", "close")
    assert client.closed()


def test_http_1_0_keeps_its_connection_when_it_asks_to(client: Client, upstream: Upstream) -> None:
    for _ in range(2):
        client.send(f"GET /x HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\n".encode())
        answer = client.answer()
        assert (answer.body, answer.get("connection")) == (b"/x", "keep-alive")
    assert upstream.requests[-1].raw.startswith(b"GET /x HTTP/1.1\r\n")


def test_connection_close_is_obeyed(client: Client, upstream: Upstream) -> None:
    answer = client.get("/x", "open.example.org", "Connection: close")
    assert (answer.status, answer.get("connection")) == (200, "close")
    assert client.closed()


def test_the_absolute_form_is_forwarded_in_origin_form(client: Client, upstream: Upstream) -> None:
    client.send(f"GET http://open.example.org/x?y HTTP/1.1\r\n{HOST}\r\n".encode())
    assert client.answer().status == 200
    assert upstream.requests[-1].target == "/x?y"


def test_the_absolute_form_must_agree_with_host(client: Client, upstream: Upstream) -> None:
    client.send(f"GET http://wiki.example.org/x HTTP/1.1\r\n{HOST}\r\n".encode())
    assert client.answer().code == "host_refused"
    assert upstream.requests == []


def test_options_is_forwarded_and_its_asterisk_form_answered(client: Client, upstream: Upstream) -> None:
    assert client.get("/x", "open.example.org", method="OPTIONS").status == 200
    answer = client.get("*", "open.example.org", method="OPTIONS")
    assert (answer.status, answer.get("allow") is not None) == (204, True)
    assert client.get("*", "nobody.example.org", method="OPTIONS").code == "route_not_found"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("request_line", "fields", "code"),
    [
        ("CONNECT open.example.org:443 HTTP/1.1", "", "connect_refused"),
        ("GET /x HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", "upgrade_refused"),
        ("POST /x HTTP/1.1", "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n", "upgrade_refused"),
        ("TRACE /x HTTP/1.1", "", "method_unknown"),
        ("BREW /x HTTP/1.1", "", "method_unknown"),
    ],
)
def test_what_is_not_offered_is_501_and_closes(
    client: Client, upstream: Upstream, request_line: str, fields: str, code: str
) -> None:
    client.send(f"{request_line}\r\n{HOST}{fields}\r\n".encode())
    answer = client.answer()
    assert (answer.status, answer.code, answer.get("connection")) == (501, code, "close")
    assert client.closed()
    assert upstream.requests == []


def test_hop_by_hop_fields_stop_here_both_ways(client: Client, upstream: Upstream) -> None:
    upstream.script = lambda request, sock: ok(
        connection="x-hop, keep-alive", x_hop="1", keep_alive="timeout=5", proxy_authenticate="Basic", x_end="1"
    )
    answer = client.get(
        "/x",
        "open.example.org",
        "Connection: X-Hop",
        "X-Hop: 1",
        "Keep-Alive: 5",
        "TE: trailers",
        "Proxy-Authorization: x",
    )
    received = upstream.requests[-1]
    for name in ("connection", "x-hop", "keep-alive", "te", "proxy-authorization"):
        assert received.values(name) == []
    assert [name for name in ("connection", "x-hop", "keep-alive", "proxy-authenticate") if answer.get(name)] == []
    assert answer.get("x-end") == "1"


def test_an_answer_that_comes_before_the_body_is_whole_is_relayed_and_the_connection_closed(
    client: Client, raw: RawUpstream
) -> None:
    def early(sock: socket.socket) -> None:
        Reader(sock).line()
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        wait_for(lambda: not sock.recv(65536), "end of the request")

    raw.script = early
    client.send(b"POST /x HTTP/1.1\r\nHost: raw.example.org\r\nContent-Length: 100000\r\n\r\npartial")
    answer = client.answer()
    assert (answer.status, answer.body) == (413, b"big")
    assert client.closed()


def test_a_client_that_goes_away_within_its_body_is_recorded_and_the_upstream_request_ended(
    client: Client, raw: RawUpstream, edge: Gateway
) -> None:
    ended = threading.Event()

    def half(sock: socket.socket) -> None:
        wait_for(lambda: not sock.recv(65536), "end of the request")
        ended.set()

    raw.script = half
    client.send(b"POST /gone HTTP/1.1\r\nHost: raw.example.org\r\nContent-Length: 100000\r\n\r\npartial")
    wait_for(lambda: raw.connections, "upstream connection")
    client.socket.close()
    assert ended.wait(PATIENCE)
    record = wait_for(lambda: [r for r in edge.of_type("access") if r["path"] == "/gone"], "access record")[0]
    assert record["code"] == "client_gone"


def test_a_request_on_an_idle_connection_that_died_is_sent_again_once(client: Client, upstream: Upstream) -> None:
    seen: list[str] = []

    def dies_the_second_time(request: Received, sock: socket.socket) -> bytes | None:
        seen.append(request.target)
        return None if len(seen) == 2 else ok()

    upstream.script = dies_the_second_time
    assert client.get("/1", "open.example.org").status == 200
    assert client.get("/2", "open.example.org").status == 200
    assert seen == ["/1", "/2", "/2"]


def test_a_request_that_may_have_been_acted_on_is_not_sent_again(client: Client, upstream: Upstream) -> None:
    seen: list[str] = []

    def dies_the_second_time(request: Received, sock: socket.socket) -> bytes | None:
        seen.append(request.target)
        return None if len(seen) == 2 else ok()

    upstream.script = dies_the_second_time
    assert client.get("/1", "open.example.org").status == 200
    answer = client.get("/2", "open.example.org", method="POST", body=b"x")
    assert (answer.status, answer.code) == (502, "upstream_closed")
    assert seen == ["/1", "/2"]


def test_a_client_that_pipelines_gets_one_request_a_turn(client: Client, edge: Gateway, upstream: Upstream) -> None:
    flood = b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n" * 3000
    sending = threading.Thread(target=client.send, args=(flood,))
    sending.start()
    reading = threading.Thread(target=lambda: [client.answer() for _ in range(3000)])
    reading.start()
    with Client(edge.address("plain")) as other:
        other.get("/meanwhile", "open.example.org")
    sending.join(PATIENCE)
    reading.join(PATIENCE)
    paths = wait_for(lambda: (p := [r["path"] for r in edge.of_type("access")]).count("/flood") == 3000 and p, "flood")
    assert paths[-1] == "/flood"
    assert "/meanwhile" in paths


def test_an_answer_that_is_cut_by_a_reset_is_not_delivered_as_whole(client: Client, raw: RawUpstream) -> None:
    def cut(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\npartial")
        wait_for(lambda: began.is_set(), "the answer's beginning")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    began = threading.Event()
    raw.script = cut
    client.send(b"GET / HTTP/1.1\r\nHost: raw.example.org\r\n\r\n")
    while client.reader.line():
        pass
    assert client.reader.exactly(12) == b"7\r\npartial\r\n"
    began.set()
    assert client.closed()


def test_a_request_is_not_sent_again_once_a_byte_of_an_answer_came(client: Client, raw: RawUpstream) -> None:
    seen: list[bytes] = []

    def hints_and_dies(sock: socket.socket) -> None:
        reader = Reader(sock)
        while (received := read_request(reader)) is not None:
            seen.append(received.raw)
            if len(seen) == 1:
                sock.sendall(ok())
            else:
                sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                return

    raw.script = hints_and_dies
    assert client.get("/1", "raw.example.org").status == 200
    answer = client.get("/2", "raw.example.org", method="DELETE")
    assert (answer.status, answer.interim) == (502, [103])
    assert len(seen) == 2
