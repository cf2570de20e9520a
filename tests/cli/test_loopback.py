"""Where a command waits for a browser: it takes one answer, and only the one that it waits for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from proxy.cli.loopback import Answer, Loopback
from tests.gateway import PATIENCE

STATE = "s" * 43
DONE = "https://wiki.example.org/.ztproxy/command-line-done"


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback(STATE, DONE) as waiting:
        yield waiting


def ask(loopback: Loopback, target: str) -> tuple[int, str | None]:
    connection = HTTPConnection("127.0.0.1", urlsplit(loopback.redirect_uri).port or 0, timeout=PATIENCE)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        assert (answer.read(), answer.headers["Cache-Control"]) == (b"", "no-store")
        return answer.status, answer.headers["Location"]
    finally:
        connection.close()


def test_it_waits_on_the_loopback_address_alone(loopback: Loopback) -> None:
    split = urlsplit(loopback.redirect_uri)
    assert (split.scheme, split.hostname, split.path) == ("http", "127.0.0.1", "/callback")
    with Loopback(STATE, DONE) as other:
        assert other.redirect_uri != loopback.redirect_uri


@pytest.mark.parametrize(("query", "code"), [("code=abc", "abc"), ("error=access_denied", "")])
def test_the_answer_is_taken_once_and_the_browser_sent_on(loopback: Loopback, query: str, code: str) -> None:
    assert ask(loopback, f"/callback?{query}&state={STATE}") == (303, DONE)
    assert ask(loopback, f"/callback?code=other&state={STATE}") == (404, None)
    assert loopback.wait(PATIENCE) == Answer(code)
    assert loopback.wait(0) is None


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/favicon.ico",
        "/callback",
        "/callback?code=abc",
        "/callback?code=abc&state=",
        f"/callback?code=abc&state={STATE[:-1]}",
        f"/callback?code=abc&state={STATE}&state={STATE}",
        f"/callback?code=abc&code=abc&state={STATE}",
        f"/callback?code=abc&error=x&state={STATE}",
        f"/callback?state={STATE}",
        f"/callback/?code=abc&state={STATE}",
        f"/callback?code=abc&state={STATE}&" + "&".join(f"a{n}=1" for n in range(9)),
        f"/callback?code={'a' * 1024}&state={STATE}",
        "/callback?code=abc&state=%C3%BC",
    ],
)
def test_anything_else_is_told_nothing_and_does_not_end_the_wait(
    loopback: Loopback, target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ask(loopback, target) == (404, None)
    assert loopback.wait(0) is None
    assert ask(loopback, f"/callback?code=abc&state={STATE}") == (303, DONE)
    assert capfd.readouterr() == ("", "")


def test_a_connection_that_says_nothing_holds_nobody_up(loopback: Loopback) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(loopback.redirect_uri).port or 0)):
        assert ask(loopback, f"/callback?code=abc&state={STATE}") == (303, DONE)


def test_of_many_answers_one_counts(loopback: Loopback) -> None:
    told: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: told.append(ask(loopback, f"/callback?code={n}&state={STATE}")[0]))
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert sorted(told) == [303, *[404] * 7]
    assert loopback.wait(PATIENCE) is not None
    assert loopback.wait(0) is None
