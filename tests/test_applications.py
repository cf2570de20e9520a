"""The page for applications: its snippets, run as they stand but for where the keys are, against a running gateway."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from proxy.http.header_sets import NAMES
from proxy.identity.assertion import SigningKey, signing_key
from tests.assertions import write_key
from tests.gateway import Client, Gateway, Upstream, gateway
from tests.oidc_provider.provider import installation
from tests.server.fronts import blocks, free_port, nginx, started
from tests.world import World, config

HERE = Path(__file__).resolve().parent / "applications"
PAGE = (HERE.parents[1] / "docs" / "applications.md").read_text(encoding="utf-8")
ANA = ["corp", "ana", "ana@example.org", ["engineering", "ops"]]
ROUTES = """\
  - name: wiki
    host: [wiki.example.org, other.example.org, 127.0.0.1]
    upstream: wiki
    allow: [{groups: [engineering]}]
"""
USER = {"groups": ["engineering", "ops"], "email": "ana@example.org", "email_verified": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("applications")


@pytest.fixture(scope="module")
def world(place: Path) -> World:
    return World(place)


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def front(place: Path, world: World, service: Upstream) -> Iterator[Gateway]:
    write_key(place / "assertion.key")
    text = config(service.url, routes=ROUTES, extra="assertion: {key_files: [assertion.key]}")
    with gateway(place, text) as running:
        yield running


def told(front: Gateway, world: World, service: Upstream, host: str) -> str:
    """Return the assertion of a request as the application at a host gets it."""
    with Client(front.address("plain")) as client:
        assert client.get("/", host, world.bearer(**USER)).status == 200
    (assertion,) = service.requests[-1].values("x-ztproxy-assertion")
    return assertion


@pytest.fixture(scope="module")
def cases(front: Gateway, world: World, service: Upstream, place: Path) -> list[tuple[dict[str, str], Any]]:
    """Return the fields of requests, and who makes each of them."""
    private = load_pem_private_key((place / "assertion.key").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    key, good = signing_key(private), told(front, world, service, "wiki.example.org")
    claims = json.loads(decoded(good.split(".")[1]))
    stranger = signing_key(ec.generate_private_key(ec.SECP256R1()))
    renamed = SigningKey(key.kid, key.jwk, stranger.private)
    refused = {
        "for another application": told(front, world, service, "other.example.org"),
        "by another issuer": resigned(key, claims, iss="https://foreign.example"),
        "it has ended": resigned(key, claims, exp=int(time.time()) - 600, nbf=0, iat=0),
        "without an end": resigned(key, {name: value for name, value in claims.items() if name != "exp"}),
        "by a key that is not published": resigned(stranger, claims),
        "by a key that is called like ours": resigned(renamed, claims),
        "changed": changed(good, sub="root"),
        "unsigned": unsigned(claims),
        "signed with what is published": confused(key, claims),
        "half of it": good[: len(good) // 2],
        "empty": "",
    }
    bad: list[tuple[dict[str, str], Any]] = [({"X-Ztproxy-Assertion": text}, None) for text in refused.values()]
    plain = {"X-Ztproxy-Subject": "ana", "X-Ztproxy-Email": "ana@example.org"}
    return [({"X-Ztproxy-Assertion": good}, ANA), *bad, (plain, None), ({"X-Ztproxy-Assertion": good}, ANA)]


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def resigned(key: SigningKey, claims: dict[str, Any], **changes: object) -> str:
    return key.sign({**claims, **changes}).decode()


def changed(assertion: str, **changes: object) -> str:
    header, payload, signature = assertion.split(".")
    return f"{header}.{encoded({**json.loads(decoded(payload)), **changes})}.{signature}"


def unsigned(claims: dict[str, Any]) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}."


def confused(key: SigningKey, claims: dict[str, Any]) -> str:
    """Return an HMAC under our public key, for verifiers that believe the header's algorithm."""
    secret = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': key.kid})}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def snippet(language: str, front: Gateway) -> str:
    """Return the page's snippet of a language, with the keys where this gateway has them."""
    text = blocks(language, "applications")[0]
    keys = "https://wiki.example.org/.well-known"
    assert text.count(keys) == 1
    return str(text.replace(keys, "http://127.0.0.1:{}/.well-known".format(front.address("plain")[1])))


def answers(command: list[str], place: Path, cases: list[tuple[dict[str, str], Any]]) -> list[Any]:
    asked = json.dumps([fields for fields, _ in cases])
    run = subprocess.run(command, cwd=place, input=asked, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found: list[Any] = json.loads(run.stdout)
    return found


def absent(what: str) -> None:
    reason = f"{what} is absent, so the snippet cannot be run"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def test_an_application_in_python_knows_its_callers(front: Gateway, tmp_path: Path, cases: list[Any]) -> None:
    (tmp_path / "caller.py").write_text(snippet("python", front), encoding="utf-8")
    shutil.copy(HERE / "main.py", tmp_path)
    assert answers([sys.executable, "main.py"], tmp_path, cases) == [who for _, who in cases]


def test_an_application_in_go_knows_its_callers(front: Gateway, tmp_path: Path, cases: list[Any]) -> None:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        absent("go")
    assert go is not None
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(HERE / name, tmp_path)
    if subprocess.run([go, "mod", "download"], cwd=tmp_path, capture_output=True, timeout=120).returncode:
        absent("go-oidc")
    (tmp_path / "caller").mkdir()
    (tmp_path / "caller" / "caller.go").write_text(snippet("go", front), encoding="utf-8")
    assert answers([go, "run", "."], tmp_path, cases) == [who for _, who in cases]


def test_an_application_in_node_knows_its_callers(front: Gateway, tmp_path: Path, cases: list[Any]) -> None:
    node, folder = installation()  # the provider is built on jose, so it is there
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    (tmp_path / "caller.mjs").write_text(snippet("js", front), encoding="utf-8")
    shutil.copy(HERE / "main.mjs", tmp_path)
    assert answers([node, "main.mjs"], tmp_path, cases) == [who for _, who in cases]


def test_nginx_knows_the_callers_of_what_is_behind_it(
    front: Gateway, service: Upstream, tmp_path: Path, cases: list[Any]
) -> None:
    port, verifier = free_port(), free_port()
    (tmp_path / "caller.py").write_text(snippet("python", front), encoding="utf-8")
    program = blocks("python", "applications")[1].replace("9000", str(verifier))
    (tmp_path / "verifier.py").write_text(program, encoding="utf-8")
    (server,) = blocks("nginx", "applications")
    for there, here in (("8080", f"127.0.0.1:{port}"), (":9000", f":{verifier}"), (":3000", f":{service.port}")):
        assert server.count(there) == 1
        server = server.replace(there, here)
    with started([sys.executable, str(tmp_path / "verifier.py")], verifier), nginx(tmp_path, port, server) as address:
        for fields, who in cases:
            before = len(service.requests)
            with Client(address) as client:
                lines = [f"{name}: {value}" for name, value in {**fields, "X-User": "root"}.items()]
                assert client.get("/page", "127.0.0.1", *lines).status == (401 if who is None else 200)
            told = [request.values("x-user") for request in service.requests[before:]]
            assert told == ([] if who is None else [[who[1]]])


def test_the_header_sets_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (`X-.*|`Remote-.*) \|$", PAGE, re.MULTILINE)
    fields = {
        name: {code.lower().encode() for code in re.findall(r"`((?:X|Remote)-[\w-]+)`", cell)} for name, cell in rows
    }
    assert fields == {name: set(names) for name, names in NAMES.items()}


def test_the_example_has_the_claims_of_the_table(front: Gateway, world: World, service: Upstream) -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    table = PAGE.partition("| claim | meaning |")[2].partition("\n\n")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert set(json.loads(example)) == named
    claims = json.loads(decoded(told(front, world, service, "wiki.example.org").split(".")[1]))
    assert set(claims) == named - {"sid", "auth_time", "amr", "acr", "device"}
    assert list(claims) == [name for name in json.loads(example) if name in claims]
