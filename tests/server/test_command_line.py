"""`ztproxy login`, `curl`, `token` and `logout` as somebody types them, before a whole gateway and a real provider."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.gateway import PATIENCE, Received, Upstream, ok
from tests.server.staff import PROGRAM, Person, Staffed

ROOT = Path(__file__).resolve().parents[2]
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/command-line.md").read_text(), re.MULTILINE | re.DOTALL)


@dataclass
class Done:
    """What a command has said."""

    status: int | None
    out: str
    err: str


class Terminal:
    """A person's terminal: its own home, a browser that hands its page to a test, and a proxy that knows every host."""

    def __init__(self, home: Path, staffed: Staffed, way_out: int) -> None:
        self.staffed = staffed
        self.tokens = home / "state" / "ztproxy" / "tokens.json"
        self.opened = home / "opened"
        self.started: list[asyncio.subprocess.Process] = []
        os.mkfifo(self.opened)
        for name, text in (
            ("browser", f'#!/bin/sh\nprintf %s "$1" > {self.opened}\n'),
            ("ztproxy", f'#!/bin/sh\nexec {sys.executable} -m proxy "$@"\n'),
        ):
            (home / name).write_text(text, encoding="utf-8")
            (home / name).chmod(0o755)
        self.environment = {
            "PATH": f"{home}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(home), "LANG": "C.UTF-8",
            "XDG_STATE_HOME": str(home / "state"), "BROWSER": str(home / "browser"),
            "https_proxy": f"http://127.0.0.1:{way_out}", "CURL_CA_BUNDLE": str(staffed.gateway.directory / "ca.pem"),
        }  # fmt: skip

    def here(self, line: str) -> str:
        """Return a line as it must be typed in this world: its port, and its CA."""
        line = line.replace("wiki.example.org", f"wiki.example.org:{self.staffed.port}")
        ca = self.staffed.gateway.directory / "ca.pem"
        return re.sub(r"\bztproxy (login|logout|token|curl) ", rf"ztproxy \1 --ca {ca} ", line)

    async def start(self, line: str) -> asyncio.subprocess.Process:
        """Type a line, as it is."""
        streams = {
            "stdin": asyncio.subprocess.DEVNULL,
            "stdout": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.PIPE,
        }
        command = await asyncio.create_subprocess_exec(
            "bash", "-c", line, cwd=ROOT, env=self.environment, **streams
        )  # fmt: skip
        self.started.append(command)
        return command

    async def run(self, line: str) -> Done:
        """Type a line of this world, and wait for its end."""
        return await end_of(await self.start(self.here(line)))

    async def login(self, person: Person, answer: str = "allow", options: str = "") -> Done:
        """Log in, as somebody who answers the page in the browser that opens."""
        command = await self.start(self.here(f"ztproxy login {options} https://wiki.example.org"))
        await answer_page(person, await asyncio.to_thread(self.opened.read_text), answer)
        return await end_of(command)


async def end_of(command: asyncio.subprocess.Process) -> Done:
    out, err = await asyncio.wait_for(command.communicate(), PATIENCE)
    return Done(command.returncode, out.decode(), err.decode())


async def answer_page(person: Person, url: str, answer: str) -> None:
    """Sign in for a page that asks for a program, and answer it; the browser ends where it says so."""
    split = urlsplit(url)
    found, page = await person.sign_in("ana", "wiki", f"{split.path}?{split.query}")
    assert (found.status, found.url.path, dict(found.url.query)) == (200, split.path, dict(parse_qsl(split.query))), (
        page
    )
    assert "ana@example.org" in page
    (token,) = re.findall(r'name="csrf" value="([^"]+)"', page)
    found, page = await person.post("wiki", f"{found.url.raw_path_qs}", {"csrf": token, "answer": answer})
    assert "Back to your terminal" in page
    assert found.url.path == "/.ztproxy/command-line-done"


async def kept_after(terminal: Terminal, person: Person) -> dict[str, str]:
    """Log in, and return what is kept of it."""
    done = await terminal.login(person)
    assert done.status == 0, done.err
    (kept,) = json.loads(terminal.tokens.read_text()).values()
    return dict(kept)


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be an HTTP proxy for which every host is this machine."""
    head = await reader.readuntil(b"\r\n\r\n")
    port = int(head.split(b" ")[1].rpartition(b":")[2])
    there, back = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        except ConnectionError:
            pass
        sink.close()

    await asyncio.gather(pour(reader, back), pour(there, writer))


@pytest.fixture
async def terminal(tmp_path: Path, staffed: Staffed) -> AsyncIterator[Terminal]:
    home = tmp_path / "home"
    home.mkdir()
    async with await asyncio.start_server(carry, "127.0.0.1", 0) as way_out:
        terminal = Terminal(home, staffed, way_out.sockets[0].getsockname()[1])
        yield terminal
        for command in terminal.started:
            if command.returncode is None:
                command.kill()
                await command.communicate()


async def test_the_commands_of_the_page_work_and_leave_nothing_secret_behind(
    terminal: Terminal, ana: Person, service: Upstream
) -> None:
    login, get, post, own, logout = COMMANDS.splitlines()
    assert login == "ztproxy login https://wiki.example.org"
    done = await terminal.login(ana)
    assert done.status == 0, done.err
    assert (done.out, "as ana@example.org, until 20" in done.err) == ("", True)
    assert (stat.S_IMODE(terminal.tokens.stat().st_mode), stat.S_IMODE(terminal.tokens.parent.stat().st_mode)) == (
        0o600, 0o700,
    )  # fmt: skip
    (kept,) = json.loads(terminal.tokens.read_text()).values()

    seen_by_others: list[str] = []

    def look_at_processes(request: Received, _: socket.socket) -> bytes:
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen_by_others.append(each.read_text(errors="replace"))
            except OSError:
                continue
        return ok(request.target.encode())

    service.script = look_at_processes
    done = await terminal.run(get + " -sS")
    assert (done.status, done.out) == (0, "/page?q=1"), done.err
    assert any("--url" in line and "/dev/fd/" in line for line in seen_by_others)
    done = await terminal.run(post + " -sS")  # says nothing of where it comes from
    assert (done.status, done.out) == (0, "/pages"), done.err
    assert service.requests[-1].body == b'{"title": "New"}'
    done = await terminal.run(own)
    assert (done.status, done.out) == (0, "/page"), done.err
    for received in service.requests:
        assert received.values("x-ztproxy-subject") == ["ana"]
        assert received.values("authorization") == []

    done = await terminal.run(logout)
    assert (done.status, terminal.tokens.read_text()) == (0, "{}"), done.err
    shown = {**PROGRAM, "Authorization": f"Bearer {kept['text']}"}
    assert (
        (await ana.until(401, headers=shown))[0].headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    )
    assert (await ana.get("wiki"))[0].status == 200  # the browser's session goes on
    done = await terminal.run(get)
    assert (done.status, done.out) == (1, "")
    origin = f"https://wiki.example.org:{terminal.staffed.port}"
    assert done.err == f"there is no token of {origin}: run ztproxy login {origin}\n"

    gateway = terminal.staffed.gateway
    kept_there = b"".join(file.read_bytes() for file in (gateway.directory / "state").glob("sessions.db*"))
    assert gateway.stop() == 0
    told = json.dumps(gateway.records) + gateway.stderr
    codes = [answer.url.query["code"] for answer in ana.seen if answer.url.path == "/callback"]
    assert codes
    for secret in (kept["text"], *codes):
        assert secret not in told
        assert secret.encode() not in kept_there
    assert not any(kept["text"] in line for line in seen_by_others)


async def test_a_token_is_of_one_host_and_ends_with_its_session(
    terminal: Terminal, ana: Person, service: Upstream
) -> None:
    before, kept = [await kept_after(terminal, ana) for _ in range(2)]
    given_back = {**PROGRAM, "Authorization": f"Bearer {before['text']}"}
    assert (await ana.until(401, headers=given_back))[0].status == 401
    shown = {**PROGRAM, "Authorization": f"Bearer {kept['text']}"}
    async with asyncio.timeout(PATIENCE), ana.session.post(ana.url("wiki"), data=b"x", headers=shown) as answer:
        assert answer.status == 200
    answer, text = await ana.get("sales", headers=shown)
    assert (answer.status, "token_invalid" in text) == (401, True)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    # An answer that lasts is cut when the session ends.
    begun, over = threading.Event(), threading.Event()

    def stream(request: Received, sock: socket.socket) -> None:
        sock.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhey\r\n"
        )
        begun.set()
        over.wait(PATIENCE)

    service.script = stream
    lasting = await terminal.start(terminal.here("ztproxy curl https://wiki.example.org/live -sSN"))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    sessions = [sys.executable, "-m", "proxy", "sessions"]
    config = shlex.join(["-c", str(terminal.staffed.gateway.path)])
    (listed,) = json.loads((await terminal.run(f"{shlex.join(sessions)} list {config} --format json")).out)
    facts = json.loads((await terminal.run(f"{shlex.join(sessions)} show {listed['id']} {config} --format json")).out)
    host = f"wiki.example.org:{terminal.staffed.port}"
    assert {host, f"{host} (command line)"} <= set(facts["hosts"])
    assert (await terminal.run(f"{shlex.join(sessions)} revoke {listed['id']} {config}")).status == 0
    async with asyncio.timeout(PATIENCE):
        out, _ = await lasting.communicate()
    over.set()
    assert (out, lasting.returncode) == (b"hey", 18)  # curl's: a partial file

    for command in ("token", "curl"):
        assert (await terminal.run(f"ztproxy {command} https://wiki.example.org")).status == 1
    assert terminal.tokens.read_text() == "{}"


async def test_a_redirect_takes_the_token_to_no_other_host(terminal: Terminal, ana: Person, service: Upstream) -> None:
    assert (await terminal.login(ana)).status == 0
    elsewhere = Upstream()
    lead = f"HTTP/1.1 302 Found\r\nlocation: {elsewhere.url}/stolen\r\ncontent-length: 0\r\n\r\n".encode()
    service.script = lambda request, sock: lead
    try:
        done = await terminal.run("ztproxy curl https://wiki.example.org/ -sSL")
        assert (done.status, done.out) == (0, "/stolen"), done.err
        (received,) = elsewhere.requests
        assert received.values("authorization") == []
        for words in ("--location-trusted -L", f"{elsewhere.url}", f"--url {elsewhere.url}", f"-K {os.devnull}", "-k"):
            done = await terminal.run(f"ztproxy curl https://wiki.example.org/ {words}")
            assert (done.status, done.out, len(elsewhere.requests)) == (2, "", 1), words
    finally:
        elsewhere.close()


async def test_a_login_that_is_not_allowed_or_cannot_be_had_says_so(terminal: Terminal, ana: Person) -> None:
    done = await terminal.login(ana, "deny")
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("it was not allowed in the browser\n")
    assert not terminal.tokens.exists()
    url = f"https://wiki.example.org:{terminal.staffed.port}"
    done = await terminal.run("ztproxy login https://nobody.example.org")
    assert (done.status, "cannot be reached" in done.err, terminal.opened.exists()) == (2, True, True)
    del terminal.environment["CURL_CA_BUNDLE"]
    tokens = terminal.tokens
    tokens.parent.mkdir(parents=True, mode=0o700)
    row = {"text": "ztcl_" + "a" * 43, "user": "ana", "expires_at": 9e9}
    tokens.write_text(json.dumps({url: row}))
    tokens.chmod(0o600)
    done = await end_of(await terminal.start(f"ztproxy token {url}"))
    assert (done.status, done.out) == (2, "")
    assert "cannot be reached" in done.err
    assert "--ca names the file of a private CA" in done.err
    tokens.chmod(0o640)
    done = await terminal.run("ztproxy token https://wiki.example.org")
    assert (done.status, done.out) == (2, "")
    assert "open to nobody else: chmod 600" in done.err


async def test_without_a_browser_the_address_is_printed(terminal: Terminal, ana: Person) -> None:
    command = await terminal.start(terminal.here("ztproxy login --no-browser https://wiki.example.org"))
    assert command.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while not (line := (await command.stderr.readline()).decode().strip()).startswith("https://"):
            assert not command.stderr.at_eof()
    await answer_page(ana, line, "allow")
    done = await end_of(command)
    assert done.status == 0, done.err
    assert json.loads(terminal.tokens.read_text())
