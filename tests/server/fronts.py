"""Gateways of others that stand before ours: real nginx and real Envoy, configured as the pages of `docs/` say."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
import yaml

from tests.gateway import wait_for

ROOT = Path(__file__).resolve().parents[2]
NGINX = """\
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log {place}/errors.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    {servers}
}}
"""


def blocks(language: str, page: str = "external-authorization") -> list[str]:
    """Return the fenced blocks of a page that are of a language."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def find(command: str, *places: Path, how: str) -> str:
    """Return where a program is; skip where it is absent, fail where it must not be."""
    found = next((str(place) for place in places if place.exists()), None) or shutil.which(command)
    if found is None:
        reason = f"{command} is absent: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def started(command: list[str], port: int) -> Iterator[tuple[str, int]]:
    """Run a program until the block ends, from when it listens on a port of loopback."""
    with TemporaryFile() as said, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process:

        def listening() -> bool:
            if process.poll() is not None:
                said.seek(0)
                raise AssertionError(f"{command[0]} ended: {said.read().decode()[-2000:]}")
            return accepts(port)

        try:
            wait_for(listening, command[0])
            yield "127.0.0.1", port
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def nginx(place: Path, port: int, servers: str) -> Iterator[tuple[str, int]]:
    """Run nginx with these server blocks, one of which listens on the port."""
    binary = find("nginx", Path("/usr/sbin/nginx"), how="install Debian's nginx")
    (place / "nginx.conf").write_text(NGINX.format(place=place, servers=servers), encoding="utf-8")
    with started([binary, "-p", str(place), "-c", str(place / "nginx.conf")], port) as address:
        yield address


@contextmanager
def envoy(place: Path, port: int, configuration: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Run Envoy with a configuration that listens on the port."""
    binary = find("envoy", ROOT / ".tools/bench/bin/envoy", how="make bench-tools")
    (place / "envoy.json").write_text(json.dumps(configuration), encoding="utf-8")
    command = [binary, "-c", str(place / "envoy.json"), "--concurrency", "1", "--disable-hot-restart"]
    with started(command, port) as address:
        yield address


def envoy_configuration(
    port: int, authz: int, upstream: int, *, hosts: list[dict[str, Any]] | None = None, tls: Path | None = None
) -> dict[str, Any]:
    """Return a configuration with the page's filter.

    Args:
        port: of loopback, to listen on.
        authz, upstream: ports of loopback: who is asked, and where requests go.
        hosts: virtual hosts; None: everything goes to the cluster `wiki`.
        tls: a folder with `edge.pem` and `edge.key`; None: plain, and everybody is told that it is https.
    """

    def typed(name: str, kind: str, **value: object) -> dict[str, Any]:
        return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **value}}

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    def cluster(name: str, number: int) -> dict[str, Any]:
        endpoint = {"endpoint": {"address": address(number)}}
        return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}

    authorize = yaml.safe_load(next(block for block in blocks("yaml") if "ext_authz" in block))
    everything = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "wiki"}}]}
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge",
        use_remote_address=True,
        normalize_path=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        route_config={"virtual_hosts": hosts or [everything], "ignore_port_in_host_matching": True},
        http_filters=[authorize, typed("router", "filters.http.router.v3.Router")],
    )
    chain: dict[str, Any] = {"filters": [manager]}
    if tls is None:
        manager["typed_config"]["scheme_header_transformation"] = {"scheme_to_overwrite": "https"}
    else:
        files = {"certificate_chain": {"filename": f"{tls}/edge.pem"}, "private_key": {"filename": f"{tls}/edge.key"}}
        kind = "transport_sockets.tls.v3.DownstreamTlsContext"
        common = {"tls_certificates": [files]}
        chain["transport_socket"] = typed("envoy.transport_sockets.tls", kind, common_tls_context=common)
    listener = {"name": "edge", "address": address(port), "filter_chains": [chain]}
    clusters = [cluster("wiki", upstream), cluster("ztproxy", authz)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}
