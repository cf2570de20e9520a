"""The desk: the gateway without its sockets. A case goes in, and the answer comes out that the gateway would give.

    opening    reads a config, a policy, or both, as `ztproxy run` does
    wire       the bytes of the request                     400, 414, 431, 501
    caller     who makes it, signatures apart               401
    way        target, route, policy                        303, 400, 401, 403, 404, 503

It follows `server/exchange` step by step and asks the same rooms; a test holds both against each other over real
sockets. A desk lives on the thread that made it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

from proxy.config.schema import Listener
from proxy.errors import Refused
from proxy.http.message import Target
from proxy.policy.allow import asks_for_user
from proxy.policy.authorize import verdict
from proxy.policy.engine import entry_points
from proxy.policy.scalars import find_fault
from proxy.policy.testing import CannotRun
from proxy.portal.returning import authority_of, is_portal
from proxy.server.answer import KEY_SETS, explained
from proxy.server.route import Route, Router, compile_route
from proxy.workbench.caller import Callers
from proxy.workbench.case import Case, host_of
from proxy.workbench.documents import principal_of, time_of
from proxy.workbench.opening import Ground, read_ground
from proxy.workbench.outcome import Outcome
from proxy.workbench.way import Way, read_answer, tell, tell_refusal

__all__ = ["CannotRun", "Desk"]


class Desk:
    """Decides cases by a config and its policy.

    Attributes:
        config: the config; of a policy alone, one with a single route `any`.
        engine: the policy.
        routes: as requests find them, in the order of the file.
        callers: makes whom a case stands for.
        whole: there is a config file, so that issuers, trust domains and devices are those that it names.
    """

    __slots__ = ("_routers", "callers", "config", "engine", "routes", "whole")

    def __init__(self, ground: Ground) -> None:
        config = self.config = ground.config
        self.engine, self.whole = ground.engine, ground.whole
        self.callers = Callers(config, any_identity=not ground.whole)
        self.routes = tuple(
            compile_route(route, None, route.decision or config.policy.decision, asks_for_user(route, config))
            for route in config.routes
        )
        self._routers = {
            listener.name: Router(
                route
                for route in self.routes
                if route.config.listeners is None or listener.name in route.config.listeners
            )
            for listener in config.listeners
        }

    @classmethod
    def open(cls, config: Path | None, policy: Path | None = None, decision: str | None = None) -> Self:
        """Open a desk on a config, on a policy alone, or on a config with another policy.

        Args:
            config: the config file, or None: one route, `any`, takes every host and path.
            policy: a Rego file, or a folder of Rego and data, in place of the config's policy; or None.
            decision: the rule that decides, in place of the config's `policy.decision`; or None.

        Raises:
            CannotRun: every mistake, a line each, as `ztproxy check` has them.
        """
        return cls(read_ground(config, policy, decision))

    def _routes_of(self, listener: str) -> list[Route]:
        return [route for route in self.routes if listener in (route.config.listeners or (listener,))]

    def route(self, name: str) -> Route | None:
        """Return the route of a name."""
        return next((route for route in self.routes if route.name == name), None)

    def decide(self, case: Case) -> Outcome:
        """Return the answer to a case.

        Raises:
            ValueError: nobody could make this request: a client that cannot be, a name that the config does not know.
        """
        return Way(self, case).go()

    def evaluate(self, document: dict[str, Any], decision: str | None = None) -> Outcome:
        """Return what policy says of an input document, which is shown to it as it stands; nothing is routed.

        Args:
            document: the input.
            decision: the rule to ask; None: that of the route that the document names, else the policy's own.

        Raises:
            ValueError: the document is none that an engine may see, or the rule is none that was loaded.
        """
        named = document.get("route")
        route = self.route(named["name"]) if isinstance(named, dict) and isinstance(named.get("name"), str) else None
        point = decision or (self.config.policy.decision if route is None else route.decision)
        if point not in entry_points(self.config):
            raise ValueError(f"{point} must be a rule that the policy or a route names as its decision")
        if (fault := find_fault(document)) is not None:
            raise ValueError(f"the input's {fault}")
        outcome = Outcome(200, route=None if route is None else route.name, point=point, document=document)
        principal, began = principal_of(document), time.perf_counter_ns()
        try:
            outcome.decision = self.engine.evaluate_now(point, document)
            tell(outcome, verdict(read_answer(outcome.decision), principal, time_of(document)))
        except Refused as refused:
            told = refused if route is None else explained(refused, route, principal)
            tell_refusal(outcome, told, refused)
        outcome.milliseconds = (time.perf_counter_ns() - began) / 1e6
        return outcome

    def listener_of(self, case: Case) -> Listener:
        """Return the listener that a case comes to. Raise ValueError where none is called so."""
        if case.listener is not None:
            for listener in self.config.listeners:
                if listener.name == case.listener:
                    return listener
            raise ValueError(f'no listener is called "{case.listener}"')
        host, encrypted = host_of(case.url), case.url.startswith("https:")
        return max(
            self.config.listeners,
            key=lambda one: (
                one.serves != "https_redirect" or not encrypted,
                (one.tls is not None) == encrypted,
                self._routers[one.name].knows(host),
                one.serves == "proxy",
            ),
        )

    def router(self, listener: Listener) -> Router:
        """Return the routes of a listener."""
        return self._routers[listener.name]

    def is_own(self, target: Target) -> bool:
        """Tell whether the proxy itself answers a target: `OPTIONS *`, the keys of its assertions, and the portal."""
        config = self.config
        if target.path == b"*" or (config.assertion is not None and target.path in KEY_SETS):
            return True
        return config.sign_in is not None and (
            is_portal(target) or (target.path == b"/" and self.is_sign_in_host(target))
        )

    def is_sign_in_host(self, target: Target) -> bool:
        """Tell whether a target is on the host that people sign in at."""
        sign_in = self.config.sign_in
        return sign_in is not None and sign_in.host == authority_of(target.host, target.port)
