"""The embedded engine: Rego in this process, by regorus.

It knows regorus and the policy's files. regorus is fast and not OPA: what it would get wrong is refused at load by
`analysis`, what could kill it is kept from it by `scalars.check_input`, and a policy that never ends is the business of
`server/watchdog`, for regorus holds the GIL through an evaluation and has no timer.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import regorus

from proxy.config.mistake import Mistake
from proxy.config.schema import Config
from proxy.errors import INPUT_REFUSED, POLICY_FAILED, POLICY_PANICKED, POLICY_TOO_SLOW, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.sources import Sources, read_sources

_UNDEFINED_AS_JSON = '"<undefined>"'


def first_lines(error: BaseException) -> str:
    """Return what regorus says without the stack that may follow it."""
    return str(error).split("\n\nStack backtrace:", 1)[0].strip()


class EmbeddedEngine:
    """A compiled policy with its data."""

    __slots__ = ("_deadline", "_engine", "_pristine", "_rules", "revision")

    def __init__(self, engine: Any, revision: str, deadline: float) -> None:
        self.revision = revision
        self._pristine = engine  # never evaluated: a panic in the other one cannot have touched it
        self._engine = engine.clone()
        self._deadline = deadline
        self._rules: dict[str, str] = {}

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        """Return the value of a rule, or `UNDEFINED`; nothing here waits. Raise what `Engine.evaluate` says."""
        return self.evaluate_now(path, document)

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        """Do what `evaluate` does, synchronously."""
        rule = self._rules.get(path) or self._rules.setdefault(path, "data." + path.replace("/", "."))
        began = time.monotonic()
        try:
            self._engine.set_input(document)
        except TypeError:
            # The input of the request before would still be set: nothing may be evaluated now.
            self._engine = self._pristine.clone()
            raise Refused(INPUT_REFUSED, "input must hold JSON values alone") from None
        try:
            text = self._engine.eval_rule_as_json(rule)
            undefined = text == _UNDEFINED_AS_JSON and self._engine.eval_rule(rule) is None
        except Exception as error:
            self._engine = self._pristine.clone()
            raise Refused(POLICY_FAILED, first_lines(error)) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            self._engine = self._pristine.clone()
            raise Refused(POLICY_PANICKED, first_lines(error)) from None
        took = time.monotonic() - began
        if took > self._deadline:
            raise Refused(POLICY_TOO_SLOW, f"evaluation took {took * 1000:.0f} ms")
        return UNDEFINED if undefined else json.loads(text)

    async def close(self) -> None:
        """There is nothing to let go."""


def revision_of(sources: Sources, data: Mapping[str, Any]) -> str:
    """Return the digest of policy and data."""
    digest = hashlib.sha256()
    for module in sources.modules:
        digest.update(f"{len(module.text)} {module.name}\n".encode())
        digest.update(module.text.encode())
    digest.update(json.dumps(data, sort_keys=True).encode())
    return f"sha256:{digest.hexdigest()}"


def build_embedded(
    config: Config, data: Mapping[str, Any], previous: object
) -> tuple[EmbeddedEngine | None, list[Mistake]]:
    """Compile the policy of a config, or say what is wrong with it; `build_engine` says what the arguments are."""
    sources, mistakes = read_sources(config.policy.path)
    if sources is None:
        return None, mistakes
    whole = {**sources.data, **data}
    engine = regorus.Engine()
    try:
        for module in sources.modules:
            engine.add_policy(module.name, module.text)
        engine.add_data(whole)
    except RuntimeError as error:
        return None, [*mistakes, Mistake(("policy", "path"), first_lines(error))]
    return EmbeddedEngine(engine, revision_of(sources, whole), config.policy.deadline), mistakes
