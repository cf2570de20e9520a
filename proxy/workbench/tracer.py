"""What the decisions of a desk evaluate, line by line: its policy once more, in an engine that takes notes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

from proxy.policy.allow import route_data
from proxy.policy.embedded import compile_policy
from proxy.policy.sources import read_sources
from proxy.workbench.desk import Desk
from proxy.workbench.outcome import Outcome


class Tracer:
    """The policy of a desk once more, in an engine that notes what it evaluates."""

    __slots__ = ("_desk", "engine")

    def __init__(self, desk: Desk, engine: Any) -> None:
        self._desk = desk
        self.engine = engine

    @classmethod
    def of(cls, desk: Desk) -> Self | None:
        """Return the tracer of a desk; None where the policy is the one that ships with ztproxy."""
        path = desk.config.policy.path
        sources, _ = read_sources(path) if path is not None else (None, [])
        if sources is None:
            return None
        engine, _, _ = compile_policy(sources.modules, {**sources.data, **route_data(desk.config)}, [])
        if engine is None:
            return None
        engine.set_enable_coverage(True)
        return cls(desk, engine)

    def see(self, outcome: Outcome) -> None:
        """Evaluate again what a decision was made of."""
        if outcome.inquiry is None or not outcome.point:
            return
        self.engine.set_input(self._desk.engine.document(outcome.inquiry, outcome.point))
        with suppress(RuntimeError):  # what fails has failed before, and is told there
            self.engine.eval_rule("data." + outcome.point.replace("/", "."))
