"""The public HTTP/1.1 suites, byte for byte, against the running gateway.

Requests go to the plain listener as they are, with a Host where they lack one, and with another request behind them,
so that what swallows or splits it is seen. The reasons for which this proxy departs from a suite stand in the tables
of `tests/http/test_suites.py`; here it is proven that a socket, a policy and an upstream change nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import RawUpstream, Reader, read_request
from tests.http import test_suites as rooms
from tests.server.suite_world import Case, Trial
from tests.world import World, config

CANARY = b"GET /canary HTTP/1.1\r\nHost: canary.example\r\n\r\n"
HOST = b"Host: suite.example\r\n"
LLHTTP_REQUESTS = {name: case for name, case in rooms.LLHTTP.items() if case["type"].startswith("request")}
LLHTTP_RESPONSES = {name: case for name, case in rooms.LLHTTP.items() if case["type"].startswith("response")}

ROUTES = """\
  - {name: raw, host: raw.example.org, upstream: raw, allow: [{anyone: true}]}
  - {name: all, host: "*", upstream: wiki, encoded_slashes: keep, allow: [{anyone: true}]}
"""


def with_host(raw: bytes) -> bytes:
    """Put a Host behind each request line of HTTP/1.1, where there is none."""
    if re.search(rb"(?im)^host[ \t]*:", raw):
        return raw
    return re.sub(rb"(?m)^([^\r\n]+ HTTP/1\.1\r\n)", lambda line: line[1] + HOST, raw)


def forms(name: str) -> dict[str, bytes]:
    """Return the ways in which a case is sent."""
    if name in rooms.GUNICORN:
        raw = rooms.GUNICORN[name]["raw_latin1"].encode("latin-1")
        return {"as it is": raw, "with a host": with_host(raw), "followed": with_host(raw) + CANARY}
    if name in LLHTTP_REQUESTS:  # its file lost the line ends at the end of each case
        raw = LLHTTP_REQUESTS[name]["raw_latin1"].encode("latin-1")
        ended = with_host(raw + b"\r\n\r\n")
        return {"as it is": raw, "with a host": with_host(raw), "ended": ended, "followed": ended + CANARY}
    raw = rooms._desync(rooms.DESYNC[name])
    whole = with_host(raw) + content_of(raw)
    return {"as it is": raw, "with a host": whole, "followed": whole + CANARY}


def content_of(head: bytes) -> bytes:
    """Return content for a head that announces some: what a reader would wait for."""
    length = re.search(rb"(?im)^content-length: *([0-9]{1,4}) *\r", head)
    if length is not None:
        return b"x" * int(length[1])
    return b"0\r\n\r\n" if re.search(rb"(?i)transfer.encoding", head) else b""


REQUESTS = [*rooms.GUNICORN, *LLHTTP_REQUESTS, *rooms.DESYNC]


@pytest.fixture(scope="module")
def trial(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Every case fired, and the gateway ended."""
    answers = iter(())
    raw = RawUpstream(lambda sock: None)
    directory = world.copy_to(tmp_path_factory.mktemp("suites"))
    upstreams = f'  raw: {{endpoints: ["{raw.url}"]}}'
    trial = Trial(directory, lambda url: config(url, routes=ROUTES, upstreams=upstreams))
    for name in REQUESTS:
        for form, sent in forms(name).items():
            trial.fire((name, form), sent)
    trial.end()
    yield trial
