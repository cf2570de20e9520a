"""Every mistake of a config in the words that a person reads; they are in `mistakes.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.load import load, render

GOOD = """\
version: 1
trust_domain: example.org
listeners:
  - name: edge
    address: 0.0.0.0:8443
    tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}
  - {name: plain, address: "0.0.0.0:8080", serves: https_redirect}
identity:
  trust_bundles: {example.org: ca.pem}
  issuers:
    corp: {issuer: "https://idp.example.org", bearer: {audiences: [ztproxy]}}
upstreams:
  wiki: {endpoints: ["http://10.0.0.5:8080"]}
routes:
  - name: wiki
    host: wiki.example.org
    path: /
    upstream: wiki
    allow: [{groups: [engineering]}]
  - name: old
    host: w.example.org
    redirect: https://wiki.example.org
"""


def _cases() -> Iterator[tuple[str, str, str]]:
    """Yield what goes, what comes and what is told, for each block of `mistakes.txt`."""
    for block in Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            *changes, told = lines
            yield _lines(changes, "- "), _lines(changes, "+ "), told


def _lines(changes: list[str], sign: str) -> str:
    return "".join(line.removeprefix(sign) + "\n" for line in changes if line.startswith(sign))


def lines_of(text: str, directory: Path) -> list[str]:
    path = directory / "ztproxy.yaml"
    path.write_text(text, encoding="utf-8")
    config, mistakes = load(path)
    lines = render(mistakes, Path("F"))
    assert (config is None) is any("warning: " not in line for line in lines)
    return lines


def test_the_good_file_is_good(tmp_path: Path) -> None:
    assert lines_of(GOOD, tmp_path) == []


@pytest.mark.parametrize(("goes", "comes", "told"), list(_cases()))
def test_a_mistake_is_told_on_its_line_in_its_words(goes: str, comes: str, told: str, tmp_path: Path) -> None:
    assert GOOD.count(goes) == 1
    assert lines_of(GOOD.replace(goes, comes), tmp_path) == [f"F:{told}"]


def test_devices_that_nobody_is_asked_for_are_a_warning(tmp_path: Path) -> None:
    text = GOOD.replace(", client_certificates: optional", "").replace(
        "identity:\n",
        "identity:\n  client_certificates: [{name: mdm, ca: mdm.pem, kind: device, id: fingerprint}]\n",
    )
    rule = "nobody is recognised by this: no listener asks for client certificates"
    assert lines_of(text, tmp_path) == [f"F:9: warning: identity.client_certificates: {rule}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:1", "127.0.0.2:1"), ("0.0.0.0:1", "[::]:1"), ("0.0.0.0:1", "[::1]:1"), ("0.0.0.0:0", "0.0.0.0:0"),
        ("0.0.0.0:1", "0.0.0.0:2"), ("unix:/a", "unix:/b"), ("localhost:1", "127.0.0.2:1"),
        ("a.example:1", "b.example:1"),
    ],
)  # fmt: skip
def test_sockets_that_can_be_opened_together_do_not_overlap(one: str, other: str, tmp_path: Path) -> None:
    text = GOOD.replace("0.0.0.0:8443", f'"{one}"').replace('"0.0.0.0:8080"', f'"{other}"')
    assert lines_of(text, tmp_path) == []


@pytest.mark.parametrize(
    "more",
    [
        "host: wiki.example.org\n    path: /x", "host: '*.example.org'\n    path: /", "host: '*'\n    path: /",
        "host: example.org\n    path: /", "host: '[::1]'\n    path: /",
    ],
)  # fmt: skip
def test_a_route_that_another_does_not_hide_is_reached(more: str, tmp_path: Path) -> None:
    assert lines_of(GOOD.replace("host: w.example.org", more), tmp_path) == []


def test_api_and_what_is_below_it_are_two_routes(tmp_path: Path) -> None:
    text = GOOD.replace("path: /\n", "path: /api\n").replace(
        "host: w.example.org", "host: wiki.example.org\n    path: /api/"
    )
    assert lines_of(text, tmp_path) == []


def test_one_host_on_two_listeners_is_two_places(tmp_path: Path) -> None:
    text = GOOD.replace("serves: https_redirect", "plaintext: true").replace("path: /\n", "listeners: [edge]\n")
    text = text.replace("host: w.example.org", "host: wiki.example.org\n    listeners: [plain]")
    assert lines_of(text, tmp_path) == []
