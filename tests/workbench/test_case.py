"""What a person says of a request, and the case that it makes."""

from __future__ import annotations

import pytest

from proxy.workbench.asking import Words, read_curl, read_document, read_header, read_request, read_time
from proxy.workbench.case import NOBODY, Case, Who, parse_who, split_url
from proxy.workbench.documents import case_of, principal_of


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("anonymous", NOBODY),
        ("user:ana", Who(user="ana")),
        ("user:ana@example.org", Who(user="ana@example.org", email="ana@example.org")),
        ("user:https://x/y:z", Who(user="https://x/y:z")),
        ("workload:spiffe://example.org/a", Who(workload="spiffe://example.org/a")),
        ("spiffe://example.org/a", Who(workload="spiffe://example.org/a")),
    ],
)
def test_who_asks_is_said_in_a_word(text: str, who: Who) -> None:
    assert parse_who(text) == who


@pytest.mark.parametrize("text", ["", "ana", "user:", "group:x", "workload:ana", "USER:ana"])
def test_a_word_that_is_nobody_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be user:NAME, workload:SPIFFE-ID or anonymous"):
        parse_who(text)


def test_what_is_said_of_a_user_is_said_of_the_case() -> None:
    words = Words("user:ana", ("eng, ops",), ("level=3", "team=blue", 'x={"y": 1}'), "corp", age="10m", amr=("otp",))
    assert words.read() == Who(
        "ana",
        groups=("eng", "ops"),
        claims={"level": 3, "team": "blue", "x": {"y": 1}},
        issuer="corp",
        age=600.0,
        amr=("otp",),
    )


@pytest.mark.parametrize("words", [Words(groups=("eng",)), Words("anonymous", age="1m"), Words(issuer="corp")])
def test_what_is_said_of_a_user_needs_a_user(words: Words) -> None:
    with pytest.raises(ValueError, match="is about a user: say who it is"):
        words.read()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://wiki.example.org", ("https", "wiki.example.org", "/")),
        ("https://wiki.example.org?x", ("https", "wiki.example.org", "/?x")),
        ("http://h:8080/a/../b?c=d#e", ("http", "h:8080", "/a/../b?c=d")),
        ("https://[::1]:1/%41", ("https", "[::1]:1", "/%41")),
    ],
)
def test_a_url_is_taken_as_it_is_written(url: str, parts: tuple[str, str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["/x", "wiki.example.org/x", "ftp://x/", "https:///x", "https://?x"])
def test_a_url_that_is_not_whole_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be a whole URL|must name a host"):
        split_url(url)


def test_a_request_is_a_method_and_a_url_or_a_url() -> None:
    assert read_request(["https://a.example/"], (), None, None) == Case("GET", "https://a.example/")
    case = read_request(["PUT", "https://a.example/"], ["X-A:  b "], "10.0.0.1", "2026-11-24T09:30:00Z")
    assert case == Case("PUT", "https://a.example/", headers=(("X-A", "b"),), source="10.0.0.1", time=1795512600.0)
    with pytest.raises(ValueError, match="a request is METHOD URL"):
        read_request([], (), None, None)


@pytest.mark.parametrize("text", ["x", ": y", ""])
def test_a_header_field_has_a_name_and_a_colon(text: str) -> None:
    with pytest.raises(ValueError, match="must be a header field"):
        read_header(text)


@pytest.mark.parametrize("text", ["now", "2026-11-24", "2026-11-24T09:30:00", "09:30"])
def test_a_time_has_its_zone(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time with its zone"):
        read_time(text)


# curl

USUAL = (("accept", "*/*"), ("user-agent", "curl"))


@pytest.mark.parametrize(
    ("command", "case"),
    [
        ("curl https://a.example/x", Case("GET", "https://a.example/x", headers=USUAL)),
        ("$ curl a.example", Case("GET", "http://a.example", headers=USUAL)),
        (
            "/usr/bin/curl -sS -k --cacert ca.pem -o out https://a.example/",
            Case("GET", "https://a.example/", headers=USUAL),
        ),
        ("curl -XDELETE --url https://a.example/", Case("DELETE", "https://a.example/", headers=USUAL)),
        ("curl -I https://a.example/", Case("HEAD", "https://a.example/", headers=USUAL)),
        ("curl -G -d q=1 -d r=2 https://a.example/", Case("GET", "https://a.example/?q=1&r=2", headers=USUAL)),
        (
            "curl 'https://a.example/' \\\n  -H 'Accept: text/html' \\\n  --compressed -b 'a=b'",
            Case(
                "GET",
                "https://a.example/",
                headers=(
                    ("Accept", "text/html"),
                    ("cookie", "a=b"),
                    ("user-agent", "curl"),
                    ("accept-encoding", "deflate, gzip"),
                ),
            ),
        ),
        (
            "curl --request=PUT --data-raw '{}' -H'Content-Type: text/plain' https://a.example/",
            Case("PUT", "https://a.example/", headers=(("Content-Type", "text/plain"), *USUAL), has_body=True),
        ),
        (
            "curl -d x https://a.example/",
            Case(
                "POST",
                "https://a.example/",
                headers=(*USUAL, ("content-type", "application/x-www-form-urlencoded")),
                has_body=True,
            ),
        ),
        ("curl -T file https://a.example/", Case("PUT", "https://a.example/", headers=USUAL, has_body=True)),
        (
            "curl --oauth2-bearer t https://a.example/",
            Case("GET", "https://a.example/", headers=(("authorization", "Bearer t"), *USUAL)),
        ),
    ],
)
def test_a_curl_command_is_a_case(command: str, case: Case) -> None:
    assert read_curl(command) == case


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("wget https://a.example/", "must begin with curl"),
        ("", "must begin with curl"),
        ("curl", "must name a URL"),
        ("curl https://a.example/ https://b.example/", "must be of one request"),
        ("curl --data $'x' https://a.example/", "are not read"),
        ("curl --next https://a.example/", "curl's --next is not known here"),
        ("curl https://a.example/ -H", "curl's -H must have a value"),
        ("curl 'https://a.example/", "cannot be read"),
        ("curl ftp://a.example/", "must be a whole URL"),
    ],
)
def test_a_curl_command_that_could_be_another_request_is_refused(command: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_curl(command)


# documents


@pytest.mark.parametrize("text", ["[]", "1", "{", '"x"'])
def test_a_document_is_an_object(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an object|line 1 column"):
        read_document(text)


def test_a_record_holds_its_input() -> None:
    assert read_document('{"decision_id": "1", "input": {"a": 1}}') == {"a": 1}
    assert read_document('{"input": {"a": 1}, "request": {}}') == {"input": {"a": 1}, "request": {}}


def test_a_document_without_a_request_is_no_case() -> None:
    with pytest.raises(ValueError, match="request must have method, host and path"):
        case_of({"principal": {"kind": "user", "id": "ana"}})


def test_a_document_says_whom_it_is_about() -> None:
    assert principal_of({}).kind == "anonymous"
    assert principal_of({"principal": {"kind": "workload", "id": "spiffe://a/b"}}).id == "spiffe://a/b"
    user = principal_of({"principal": {"kind": "user", "id": "ana", "authentication": {"time": 5, "acr": "phr"}}})
    assert (user.id, user.authenticated_at, user.acr) == ("ana", 5, "phr")
