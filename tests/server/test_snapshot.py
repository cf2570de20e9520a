"""Compiling a config in steps."""

from __future__ import annotations

from pathlib import Path

from proxy.config.load import read
from proxy.server.runtime import Runtime
from proxy.server.snapshot import compile_file
from tests.world import config

ROUTES = "  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}\n"


def test_compiling_can_be_laid_aside_between_certificates_and_policy(place: Path) -> None:
    file = place / "steps.yaml"
    file.write_text(config("http://127.0.0.1:1", routes=ROUTES), encoding="utf-8")
    steps, laid_aside = compile_file(read(file), None, Runtime(recording=False)), 0
    while True:
        try:
            next(steps)
            laid_aside += 1
        except StopIteration as ended:
            snapshot, _ = ended.value
            break
    assert snapshot is not None
    assert laid_aside == 4
