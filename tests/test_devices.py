"""The page about devices: what it tells to paste makes the device that it says."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from proxy.config.schema import Identity, ListenerTLS
from proxy.identity.authority import Authority, Issued
from proxy.identity.bundle import load_bundles
from proxy.identity.tls import build_server_tls
from tests.identity.handshake import client_context, handshake, on_uvloop
from tests.image import ROOT
from tests.test_docs import blocks

PAGE = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shutil.which("openssl") is not None
    directory = tmp_path_factory.mktemp("devices")
    (commands,) = blocks(PAGE, "sh")
    subprocess.run(["bash", "-e", "-c", commands], cwd=directory, check=True, capture_output=True)
    return directory


def test_the_commands_make_the_device_that_the_page_names(pasted: Path) -> None:
    declared = {"name": "mdm", "ca": pasted / "mdm.pem", "kind": "device", "id": "subject.serial_number"}
    bundles, mistakes = load_bundles(Identity.model_validate({"client_certificates": [declared]}), "example.org")
    assert mistakes == []
    certificate, key = Authority.create("example.org").issue_server(["localhost"]).write(pasted / "edge")
    tls = ListenerTLS(certificate=certificate, key=key, client_certificates="required")
    server, mistakes = build_server_tls(tls, ("listeners", 0, "tls"), bundles, time.time())
    assert server is not None, mistakes
    shown = Issued((pasted / "laptop.pem").read_bytes(), (pasted / "laptop.key").read_bytes())
    outcome = on_uvloop(handshake(server.context_for(None), client_context(pasted, shown)))
    peer = outcome.peer(bundles, time.time())
    assert peer is not None
    assert (peer.kind, peer.id) == ("device", "mdm:C02XL0GTJGH5")
