"""One policy on both engines: what each makes of it, in words that can be compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from proxy.errors import POLICY_FAILED, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.sources import Module
from tests.opa import OPAServer

FAILS: Final = "fails"  # while it is evaluated; or OPA's type checker sees that it must
REFUSED: Final = "refused"  # by our analysis, at load


def policy(text: str) -> str:
    """Return a policy of package `t` from its rules."""
    return text if text.startswith("package") else f"package t\n\n{text}"


def compiled(text: str, data: Mapping[str, Any] | None = None, path: str = "t/r") -> EmbeddedEngine | list[str]:
    """Return an engine with a policy, or what the analysis says against it."""
    engine, faults, undefined = compile_policy([Module("t.rego", policy(text))], data or {}, [path])
    return EmbeddedEngine(engine, "revision", 60.0) if engine is not None and not undefined else [*faults, *undefined]


def ours(text: str, document: Any = None, data: Mapping[str, Any] | None = None, path: str = "t/r") -> object:
    """Return what the embedded engine says."""
    engine = compiled(text, data, path)
    if isinstance(engine, list):
        return REFUSED
    try:
        return asyncio.run(engine.evaluate(path, document or {}))
    except Refused as refused:
        assert refused.row is POLICY_FAILED, refused  # noqa: PT017 - nothing here may be slow or panic
        return FAILS


def opas(
    server: OPAServer, text: str, document: Any = None, data: Mapping[str, Any] | None = None, path: str = "t/r"
) -> object:
    """Return what OPA says, asked as our OPA engine asks."""
    server.request("PUT", "data", json.dumps(data or {}))
    status, _ = server.request("PUT", "policies/t", policy(text))
    if status != 200:
        return FAILS
    try:
        question = json.dumps({"input": document or {}})
        status, body = server.request("POST", f"data/{path}?strict-builtin-errors=true", question)
    finally:
        server.request("DELETE", "policies/t", "")
    return body.get("result", UNDEFINED) if status == 200 else FAILS
