"""The real curl with a token: what stands behind the URL may be options that keep the token where it belongs."""

from __future__ import annotations

import pytest

from proxy.cli.curl import Curl, CurlRefused


@pytest.fixture(scope="module")
def curl() -> Curl:
    """The one that is installed."""
    return Curl.ask()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-sSL"],
        ["-X", "POST", "-d", "a=b"],
        ["-da=b"],
        ["-sSo", "file"],
        ["-sSofile"],
        ["--json", '{"a": 1}', "--fail-with-body"],
        ["-d", "https://evil.example/"],
        ["-H", "X-A: --url"],
        ["--data-binary", "@-"],
        ["--no-keepalive"],
        ["--no-insecure"],
        ["-#", "-0", "-4"],
        ["-E", "device.pem", "--key", "device.key"],
        ["--resolve", "wiki.example.org:443:127.0.0.1"],
        ["-d", "-K"],
    ],
)
def test_options_of_curl_are_taken(curl: Curl, words: list[str]) -> None:
    curl.require(words)


@pytest.mark.parametrize(
    "words",
    [
        ["https://evil.example/"],
        ["evil.example"],
        ["-s", "https://evil.example/"],
        ["-X", "POST", "evil.example"],
        ["-XPOST", "evil.example"],
        ["-sSofile", "evil.example"],
        ["-sSX", "POST", "evil.example"],
        ["--no-buffer", "evil.example"],
        ["-"],
        [""],
        ["--"],
        ["--", "evil.example"],
        ["--url", "https://evil.example/"],
        ["--url=https://evil.example/"],
        ["--next", "-s"],
        ["-:"],
        ["-s:"],
        ["-K", "file"],
        ["-Kfile"],
        ["-sK", "file"],
        ["--config", "file"],
        ["-k"],
        ["-sk"],
        ["--insecure"],
        ["--insecur"],
        ["--location-trusted"],
        ["--location-t"],
        ["--oauth2-bearer", "x"],
        ["-u", "a:b"],
        ["--libcurl", "file"],
        ["--expand-url", "x"],
        ["--no-url"],
        ["--no-config", "evil.example"],
        ["-é"],
        ["--data"],
        ["-d"],
        ["-X", "POST", "-d"],
    ],
)
def test_whatever_else_would_take_the_token_along_is_refused(curl: Curl, words: list[str]) -> None:
    with pytest.raises(CurlRefused):
        curl.require(words)
