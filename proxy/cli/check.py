"""`ztproxy check`: everything that would stop or worry `ztproxy run`, without opening a port."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from proxy.config.address import parse_url
from proxy.config.load import File, LocatedMistake, has_errors, read, render
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Config

if TYPE_CHECKING:
    from proxy.identity.keys import KeySource
    from proxy.policy.reads import Reads
    from proxy.server.snapshot import Snapshot
    from proxy.upstream.endpoint import Endpoint

BAD_CONFIGURATION: Final = 2
_PATIENCE: Final = 3.0  # seconds for one issuer or endpoint
_AT_ONCE: Final = 32  # looks at a time


class Format(StrEnum):
    """How findings are told."""

    TEXT = "text"
    JSON = "json"


def check(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")],
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Find every mistake in FILE, and in the certificates, keys and policies that it names.

    All of them at once, each with its line, as `ztproxy run` would say them. Issuers and upstreams that cannot be
    reached are warnings. Of a policy of your own it also says which decisions cannot be remembered, and why.
    Exit status: 0 when FILE is good, 2 when it has a mistake.

    Example: ztproxy check -c /etc/ztproxy/ztproxy.yaml
    """
    snapshot, file = examine(config)
    if file.config is not None:
        file = file.with_mistakes(asyncio.run(_unreachable(file.config)))
    decisions = asyncio.run(_decisions(snapshot)) if snapshot is not None else []
    if form is Format.JSON:
        typer.echo(json.dumps(_report(file, decisions), indent=2))
    else:
        _tell(file.mistakes, config)
        if file.config is not None:
            typer.echo(f"{config}: ok")
            _tell_decisions(decisions, is_ours=_is_ours(file.config))
    raise typer.Exit(BAD_CONFIGURATION if file.config is None else 0)


def examine(path: Path) -> tuple[Snapshot | None, File]:
    """Read a config and let every room look at its section, as `run` does; no log is opened for it."""
    from proxy.server.runtime import Runtime
    from proxy.server.snapshot import compile_file

    return compile_file(read(path), None, Runtime(recording=False))


def _tell(mistakes: list[LocatedMistake], path: Path) -> None:
    for line in render(mistakes, path):
        typer.echo(line, err=True)


async def _decisions(snapshot: Snapshot) -> list[Reads]:
    """Return what each rule that decides reads; an OPA server is asked for its policy."""
    from proxy.policy.engine import entry_points

    try:
        await snapshot.engine.look()
        return [snapshot.engine.plan(path).reads for path in entry_points(snapshot.config)]
    finally:
        await snapshot.engine.close()


def _is_ours(config: Config) -> bool:
    return config.policy.engine == "embedded" and config.policy.path is None


def _tell_decisions(decisions: list[Reads], *, is_ours: bool) -> None:
    """Say why decisions are not remembered, and of a policy that somebody can change, which are seldom."""
    for reads in decisions:
        for line in () if is_ours and reads.obstacle is None else reads.told():
            typer.echo(line)


def _report(file: File, decisions: list[Reads]) -> dict[str, object]:
    return {
        "file": str(file.path),
        "ok": not has_errors(file.mistakes),
        "mistakes": [
            {"line": line, "path": mistake.path, "rule": mistake.rule, "severity": mistake.severity}
            for line, mistake in file.mistakes
        ],
        "decisions": [
            {
                "path": reads.point,
                "reads": [".".join(("input", *path)) for path in reads.paths],
                "remembered": reads.obstacle is None,
                "notes": reads.told(),
            }
            for reads in decisions
        ],
    }


async def _unreachable(config: Config) -> list[Mistake]:
    """Look at every issuer and endpoint once; a network that is down must not stop a gateway from starting."""
    places = list(_looks(config))
    if places and sys.stderr.isatty():
        typer.echo(f"looking at {len(places)} issuers and endpoints …", err=True)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(location: Location, what: str, attempt: Awaitable[object]) -> Mistake | None:
        async with gate:
            reason = await _failure(attempt)
        return Mistake(location, f"{what} cannot be reached: {reason}", "warning") if reason else None

    found = await asyncio.gather(*(look(*place) for place in places))
    return [mistake for mistake in found if mistake is not None]


def _looks(config: Config) -> Iterator[tuple[Location, str, Awaitable[object]]]:
    from proxy.identity.issuers import build_issuers
    from proxy.upstream.endpoint import Endpoint, build_endpoints

    issuers, _ = build_issuers(config.identity, config.limits, None, lambda event, fields: None)
    for name, source in issuers.sources.items():
        yield ("identity", "issuers", name), "issuer", _fetch(source)
    for name, upstream in config.upstreams.items():
        at: Location = ("upstreams", name)
        for index, endpoint in enumerate(build_endpoints(upstream, at)[0]):
            yield (*at, "endpoints", index), "endpoint", _connect(endpoint)
    if config.policy.opa is not None:
        url = parse_url(config.policy.opa.url)
        plain = Endpoint(url.host, url.port, tls=None, server_name=url.host, authority=url.host)
        yield ("policy", "opa", "url"), "OPA server", _connect(plain)


async def _fetch(source: KeySource) -> None:
    await source.origin.loader()()


async def _connect(endpoint: Endpoint) -> None:
    name = endpoint.server_name if endpoint.tls else None
    _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=name)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _failure(attempt: Awaitable[object]) -> str | None:
    """Return why an attempt failed, in words, or None."""
    from proxy.identity.oidc import FetchFailed

    try:
        async with asyncio.timeout(_PATIENCE):
            await attempt
    except TimeoutError:
        return f"no answer within {_PATIENCE:g} s"
    except socket.gaierror:
        return "its name is not found"
    except ssl.SSLError as error:
        return str(getattr(error, "verify_message", "") or error.reason or "the TLS handshake failed").lower()
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)).lower()
    except FetchFailed as error:
        return str(error)
    return None
