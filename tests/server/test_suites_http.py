"""The public HTTP/1.1 suites, byte for byte, against the running gateway.

Requests go to the plain listener as they are, with a Host where they lack one, and with another request behind them:
who swallows that one, or makes two of it, is seen. llhttp's answers come from an upstream. Why this proxy departs from
a suite stands in the tables of `tests/http/test_suites.py`; here it is shown that a socket, a policy and an upstream
change nothing of it, and what they add stands in tables below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.errors import CATALOGUE
from tests.gateway import Answer, RawUpstream, Reader, Received, read_request
from tests.http import test_suites as rooms
from tests.server.suite_world import Case, Request, Trial
from tests.world import World, config

HOST = b"Host: suite.example\r\n"
CANARY = b"GET /canary HTTP/1.1\r\nHost: canary.example\r\n\r\n"
END = b"\r\n\r\n"
ROUTES = """\
  - {name: raw, host: raw.example.org, upstream: raw, allow: [{anyone: true}]}
  - {name: all, host: "*", upstream: wiki, allow: [{anyone: true}]}
"""

LLHTTP_REQUESTS = {name: case for name, case in rooms.LLHTTP.items() if case["type"].startswith("request")}
LLHTTP_ANSWERS = {name: case for name, case in rooms.LLHTTP.items() if case["type"].startswith("response")}
REQUESTS = [*rooms.GUNICORN, *LLHTTP_REQUESTS, *rooms.DESYNC]


def with_host(raw: bytes) -> bytes:
    """Put a Host behind each request line of HTTP/1.1, unless there is one already."""
    if re.search(rb"(?im)^host[ \t]*:", raw):
        return raw
    return re.sub(rb"(?m)^([^\r\n]+ HTTP/1\.1\r\n)", lambda line: line[1] + HOST, raw)


def content_of(head: bytes) -> bytes:
    """Return content for a head that announces some."""
    if length := re.search(rb"(?im)^content-length: *([0-9]+) *\r", head):
        return b"x" * min(int(length[1]), 4_000_000)
    return b"0\r\n\r\n" if re.search(rb"(?i)transfer.encoding", head) else b""


def forms(name: str) -> dict[str, bytes]:
    """Return the ways in which a case's request is sent."""
    if name in rooms.GUNICORN:
        raw = rooms.GUNICORN[name]["raw_latin1"].encode("latin-1")
        whole = with_host(raw)
    elif name in LLHTTP_REQUESTS:  # its file lost the line ends at the end of each case
        raw = LLHTTP_REQUESTS[name]["raw_latin1"].encode("latin-1")
        whole = with_host(raw + END)
    else:
        raw = rooms._desync(rooms.DESYNC[name])
        whole = with_host(raw) + content_of(raw)
    return {"as it is": raw, "with a host": with_host(raw), "whole": whole, "followed": whole + CANARY}


@pytest.fixture(scope="module")
def trial(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Every case, sent in each of its forms, and the gateway ended."""
    answers: list[bytes] = []
    raw = RawUpstream(lambda sock: sock.sendall(answers[int(asked.target[1:])]) if (asked := _asked(sock)) else None)
    upstreams = f'  raw: {{endpoints: ["{raw.url}"]}}'
    directory = world.copy_to(tmp_path_factory.mktemp("suites"))
    with Trial(directory, lambda url: config(url, routes=ROUTES, upstreams=upstreams)) as trial:
        for name in REQUESTS:
            for form, sent in forms(name).items():
                trial.fire((name, form), sent)
        for name, case in LLHTTP_ANSWERS.items():
            for form, end in {"as it is": b"", "ended": END}.items():
                method = b"HEAD" if case["meta"].get("skipBody") else b"GET"
                answers.append(case["raw_latin1"].encode("latin-1") + end)
                line = b"%b /%d HTTP/1.1\r\n" % (method, len(answers) - 1)
                trial.fire((name, form), line + b"Host: raw.example.org\r\n\r\n")
    yield trial
    raw.close()


def _asked(sock: Any) -> Received | None:
    return read_request(Reader(sock))


def seen(case: Case) -> list[tuple[str, str, str]]:
    """Return the requests that the upstream read whole, as a suite has them."""
    return [(request.method, request.target, request.body.decode("latin-1")) for request in case.whole]


def is_canary(request: Request) -> bool:
    return (request.method, request.target, request.value("host")) == ("GET", "/canary", "canary.example")


def cases(trial: Trial, name: str) -> dict[str, Case]:
    """Return what came of a case's forms, having seen what must be true of each, whatever a suite says."""
    found = {form: trial.cases[name, form] for form in forms(name)}
    for form, case in found.items():
        answered = [status for status, code in zip(case.statuses, case.codes, strict=True) if code != "client_gone"]
        assert [answer.status for answer in case.answers()] == answered, form
        refused = [code for code in case.codes if code is not None]
        assert len(refused) <= 1 or not any(CATALOGUE[code].closes for code in refused[:-1]), form
        canaries = [number for number, request in enumerate(case.requests) if is_canary(request)]
        assert canaries in ([], [len(case.requests) - 1]), form
        if canaries:  # it may come through only where the bytes before it had one reading
            assert form == "followed"
            assert not any(CATALOGUE[code].closes for code in refused)
            del case.requests[-1]
            case.followed = True
    return found


def test_nothing_reaches_the_upstream_but_what_was_decided_and_has_one_reading(trial: Trial) -> None:
    assert len(trial.cases) == 4 * len(REQUESTS) + 2 * len(LLHTTP_ANSWERS)
    assert trial.undecided() == []
    assert (trial.exit_status, "Traceback" in trial.gateway.stderr) == (0, False)


# --- gunicorn

STARRED = "options of the server as a whole is the proxy's to answer"
GUNICORN_ANSWERED_HERE = {"gunicorn-valid-rfc9112_target_asterisk_options_01": STARRED}


def origin_form(uri: str) -> str:
    return re.sub(r"\Ahttps?://[^/]+", "", uri)


@pytest.mark.parametrize("name", [name for name, case in rooms.GUNICORN.items() if case["valid"]])
def test_gunicorn_valid(trial: Trial, name: str) -> None:
    came = cases(trial, name)
    expected = [
        (request["method"], origin_form(request["uri"]["raw"]), request["body"])
        for request in rooms.GUNICORN[name]["requests"]
    ]
    if name in rooms.GUNICORN_VALID_REFUSED:
        assert all(case.codes[0] is not None and not case.requests for case in came.values())
    elif name in rooms.GUNICORN_CUT:
        assert all([request.whole for request in case.requests] == [False] for case in came.values())
    elif name in GUNICORN_ANSWERED_HERE:
        assert all(case.statuses[:1] == [204] and not case.requests for case in came.values())
    else:
        assert seen(came["whole"]) == seen(came["followed"]) == expected
        assert [request.whole for request in came["whole"].requests] == [True] * len(expected)
        assert came["followed"].followed is (came["whole"].answers()[-1].get("connection") != "close")
        bare = came["as it is"]
        assert seen(bare) == expected[: len(bare.whole)]
        assert len(bare.whole) == len(expected) or bare.codes[-1] == "host_refused"


@pytest.mark.parametrize("name", [name for name, case in rooms.GUNICORN.items() if not case["valid"]])
def test_gunicorn_invalid(trial: Trial, name: str) -> None:
    for form, case in cases(trial, name).items():
        if name in rooms.GUNICORN_INVALID_PASSED:
            assert len(case.whole) == (0 if case.codes == ["host_refused"] else 1), form
        elif name in rooms.GUNICORN_INCOMPLETE:
            assert not case.whole, form
        else:
            assert not case.requests, form
            assert 400 <= case.statuses[0] <= 501, form


# Of the other server's bounds these can be set here too.
NARROW = "limits: {target_length: 4KiB, header_bytes: 8KiB}"
GUNICORN_WITHIN_OUR_KEYS = {
    "gunicorn-invalid-006": "target_too_long",
    "gunicorn-invalid-007": "headers_too_large",
    "gunicorn-invalid-008": "headers_too_large",
    "gunicorn-invalid-017": "headers_too_large",
    "gunicorn-invalid-limit_header_default_01": "headers_too_large",
}


def test_what_is_too_long_for_gunicorn_is_refused_under_the_same_bounds(world: World, place: Any) -> None:
    with Trial(place, lambda url: config(url, routes=ROUTES.splitlines()[1], extra=NARROW)) as trial:
        for name in GUNICORN_WITHIN_OUR_KEYS:
            trial.fire(name, forms(name)["whole"])
    assert {name: case.codes for name, case in trial.cases.items()} == {
        name: [code] for name, code in GUNICORN_WITHIN_OUR_KEYS.items()
    }
    assert trial.recorder.requests == []
    assert len(rooms.GUNICORN_INVALID_PASSED.keys() - GUNICORN_WITHIN_OUR_KEYS.keys()) == 2


# --- llhttp


@pytest.mark.parametrize("name", LLHTTP_REQUESTS)
def test_llhttp_requests(trial: Trial, name: str) -> None:
    case, came = LLHTTP_REQUESTS[name], cases(trial, name)
    best = came["with a host" if len(came["with a host"].whole) >= max(case["complete"], 1) else "whole"]
    if case["type"] != "request":
        assert all(len(form.whole) <= 1 for form in came.values())
        assert "\x0c" not in "".join(
            value for form in came.values() for one in form.requests for _, value in one.fields
        )
    elif name in rooms.LLHTTP_VALID_REFUSED:
        whole = 1 if rooms.LLHTTP_VALID_REFUSED[name] == rooms.TWO_EMPTY_LINES else 0
        assert all(len(form.requests) <= whole for form in came.values())
        assert came["whole"].codes == [None] * whole + came["whole"].codes[-1:] != [None]
    elif case["accept"]:
        expected = 0 if case["meta"].get("skipBody") else case["complete"]
        assert len(best.whole) >= expected
        if expected:
            body = "".join(content for _, _, content in seen(best))
            assert case["body"].startswith(body)
            assert len(best.whole) < case["messages"] or case["body"] == body
    elif case["error"]["code"] == rooms.AFTER_CLOSE:
        assert all(len(form.requests) <= case["complete"] for form in came.values())
        assert not came["followed"].followed
    else:
        assert not any(form.whole for form in came.values())


LINE_ENDS = dict.fromkeys(b"\r\n")  # the suite's file has lost some of them
BEHIND = "bytes behind an answer belong to none, and the answer is in doubt with them"
CUT_SHORT = "announces more content than the suite gives"
LLHTTP_ANSWERS_502 = {
    **{name: why for name, why in rooms.LLHTTP_VALID_REFUSED.items() if name in LLHTTP_ANSWERS},
    "llhttp-response-connection-168": BEHIND,
    "llhttp-response-connection-170": BEHIND,
    "llhttp-response-connection-180": BEHIND,
    "llhttp-response-connection-181": BEHIND,
    "llhttp-response-content-length-186": BEHIND,
    "llhttp-response-pipelining-220": BEHIND,
    "llhttp-response-sample-226": BEHIND,
}
LLHTTP_ANSWERS_CUT = {
    "llhttp-response-connection-183": CUT_SHORT,
    "llhttp-response-content-length-187": CUT_SHORT,
}


def final(case: Case) -> Answer | None:
    """Return the answer that came whole, or None where it was cut off."""
    try:
        (answer,) = case.answers()
    except EOFError:
        return None
    return answer


@pytest.mark.parametrize("name", LLHTTP_ANSWERS)
def test_llhttp_answers(trial: Trial, name: str) -> None:
    case = LLHTTP_ANSWERS[name]
    came = [trial.cases[name, "as it is"], trial.cases[name, "ended"]]
    lenient = case["type"] not in ("response", "response-finish")
    if lenient or not case["accept"] or name in LLHTTP_ANSWERS_502:
        for one in came:
            answer = final(one)
            assert answer is not None
            assert answer.status == 502
            assert answer.body == b"" or answer.code in ("upstream_malformed", "upstream_closed")
        return
    # What is not whole is a 502, or is cut off so that the client sees it.
    whole = [one for one in came if one.codes == [None]]
    assert all(one.codes[0] in (None, "upstream_malformed", "upstream_closed") for one in came)
    assert all(final(one) is not None for one in whole)
    assert any(final(one) is None for one in came) or whole
    if name in LLHTTP_ANSWERS_CUT:
        assert not whole
        return
    answer = final(whole[0])
    assert answer is not None
    assert answer.status == int(case["raw_latin1"].split(" ")[1][:3])
    assert answer.body.decode("latin-1").translate(LINE_ENDS) == case["body"].translate(LINE_ENDS)


# --- HTTP Desync Guardian

NOT_UTF8 = "policy reads text, so a field that is not UTF-8 cannot be decided about"
DESYNC_VALID_REFUSED = {
    **rooms.DESYNC_VALID_REFUSED,
    **{f"rfc-compliant-{number}": NOT_UTF8 for number in range(3, 8)},
}


@pytest.mark.parametrize("name", rooms.DESYNC)
def test_desync(trial: Trial, name: str) -> None:
    case, came = rooms.DESYNC[name], cases(trial, name)
    tier = case["expected"]["tier"]
    sent = [(case["method"], case["uri"].encode().decode("latin-1"), content_of(forms(name)["as it is"]))]
    if tier in ("Ambiguous", "Severe") or name in DESYNC_VALID_REFUSED:
        assert not any(form.requests for form in came.values())
        assert all(400 <= form.statuses[0] <= 501 for form in came.values())
    elif tier == "Compliant" or came["whole"].requests:
        for form in (came["whole"], came["followed"]):
            assert [(one.method, one.target) for one in form.whole] == [(method, target) for method, target, _ in sent]
            assert form.whole[0].body in (sent[0][2], b"")
            assert form.requests == form.whole
        assert came["followed"].followed


# --- The PROXY protocol's cases, before a listener that speaks it

SPOKEN = {
    "gunicorn-valid-pp_04": ("GET", "/proxy/v2/ipv4"),
    "gunicorn-valid-pp_05": ("GET", "/proxy/v2/ipv6"),
}
SPOKEN_REFUSED = {
    "gunicorn-valid-pp_01": rooms.CONTENT,
    "gunicorn-valid-pp_02": rooms.CONTENT,
    "gunicorn-valid-pp_03": "the header is mandatory from the networks that are listed",
    "gunicorn-invalid-pp_01": "malformed",
    "gunicorn-invalid-pp_02": "malformed",
    "gunicorn-invalid-pp_03": "malformed",
}
SPEAKS = '  - {name: plain, address: "127.0.0.1:0", plaintext: true, proxy_protocol: {networks: [127.0.0.0/8]}}'


def test_gunicorn_proxy_protocol(world: World, place: Any) -> None:
    answered = {}
    with Trial(place, lambda url: config(url, routes=ROUTES.splitlines()[1], listeners=SPEAKS)) as trial:
        for name in [*SPOKEN, *SPOKEN_REFUSED]:
            answered[name] = trial.fire(name, forms(name)["as it is"]).received
    assert [(request.method, request.target) for request in trial.recorder.requests] == list(SPOKEN.values())
    assert [request.value("x-forwarded-for") for request in trial.recorder.requests] == [
        "192.168.1.10",
        "2001:db8::1",
    ]
    assert all(answered[name].startswith(b"HTTP/1.1 200 ") for name in SPOKEN)
    for name, why in SPOKEN_REFUSED.items():
        assert answered[name][:13] == (b"HTTP/1.1 400 " if why == rooms.CONTENT else b"")
    assert {name for name in rooms.GUNICORN if "-pp_" in name} == {*SPOKEN, *SPOKEN_REFUSED}
