"""One case on its way through the gateway's rooms, in the order of `server/exchange`, to the answer that it gets.

What belongs to a connection, to load and to the upstream is not here. It opens nothing and loads nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from proxy import errors
from proxy.config.schema import Listener
from proxy.errors import Refused
from proxy.http.cookies import handle_of
from proxy.http.crosssite import is_unsafe, require_same_site
from proxy.http.headers import PREFLIGHT, clean_head
from proxy.http.message import Headers, RequestHead, Target
from proxy.http.target import parse_target
from proxy.identity.principal import ANONYMOUS, Peer, Principal
from proxy.identity.sessions.service import is_service_token
from proxy.identity.sessions.session import is_program_token
from proxy.policy.authorize import UNDECIDED, verdict
from proxy.policy.decision import Decision, parse_decision
from proxy.policy.denied import Denied
from proxy.policy.input import Inquiry
from proxy.policy.scalars import find_fault
from proxy.server.answer import explained
from proxy.server.route import Route
from proxy.server.visit import is_navigation
from proxy.workbench.case import Case, Method
from proxy.workbench.outcome import Outcome
from proxy.workbench.wire import read_head

if TYPE_CHECKING:
    from proxy.workbench.desk import Desk

OWN_PAGE: Final = "own_page"
HANDSHAKE_FAILED: Final = "handshake_failed"
_ID: Final = "00000000-0000-4000-8000-000000000000"


class Way:
    """One case on its way."""

    __slots__ = ("case", "desk", "listener", "now", "outcome", "peer", "principal", "route")

    def __init__(self, desk: Desk, case: Case) -> None:
        self.desk = desk
        self.case = case
        self.now = time.time() if case.time is None else case.time
        self.listener = desk.listener_of(case)
        self.outcome = Outcome(200)
        self.route: Route | None = None
        self.peer: Peer | None = None
        self.principal: Principal = ANONYMOUS

    def go(self) -> Outcome:
        began = time.perf_counter_ns()
        head: RequestHead | None = None
        try:
            head = read_head(self.case, self.desk.config.limits, on_session=False)
            self._pass(head)
        except Refused as refused:
            self._refuse(refused, head)
        self.outcome.milliseconds = (time.perf_counter_ns() - began) / 1e6
        return self.outcome

    def _pass(self, head: RequestHead) -> None:
        outcome = self.outcome
        target = parse_target(head.method, head.target, head.values(b"host"), head.version)
        if not self._connects(target):
            return
        route = self._enter(head, target)
        if route is None:
            return
        method = self._method(route, head)
        if method == "session":
            head = read_head(self.case, self.desk.config.limits, on_session=True)
        self.principal = self._caller(route, method, head)
        if self.principal.method == "session" and is_unsafe(head):
            require_same_site(head, f"https://{target.authority}", route.config.origins)
        if route.config.redirect is not None:
            outcome.status = 302 if head.method in (b"GET", b"HEAD") else 307
            return
        if route.config.cors.preflight == "upstream" and head.is_preflight:
            self.principal = ANONYMOUS
            self._inquire(head, [field for field in head.headers if field[0] in PREFLIGHT], target, route)
            tell(self.outcome, UNDECIDED)
            return
        self._decide(head, target, route)

    def _connects(self, target: Target) -> bool:
        """Make the connection, and say whether its handshake succeeds."""
        setting = _setting(self.listener, target.host)
        peer = self.desk.callers.peer(self.case.who, self.now)
        if peer is not None and (setting == "none" or self.listener.serves == "authorization"):
            self._note(f"listener {self.listener.name} asks for no client certificate: {peer.id} is not seen")
        elif peer is not None:
            self.peer = peer
        elif setting == "required":
            self.outcome.status, self.outcome.code = 0, HANDSHAKE_FAILED
            self.outcome.detail = f"listener {self.listener.name} requires a client certificate"
            return False
        return True

    def _enter(self, head: RequestHead, target: Target) -> Route | None:
        """Return the route that a request is on; None: the proxy answers by itself."""
        outcome, router = self.outcome, self.desk.router(self.listener)
        if self.listener.serves == "https_redirect":
            if not target.host:
                raise Refused(errors.HOST_REFUSED, "a redirect must have a host to go to")
            outcome.status = 308
            return None
        if self.desk.is_own(target):
            if not (router.knows(target.host) or self.desk.is_sign_in_host(target)):
                raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host")
            outcome.status, outcome.code = 0, OWN_PAGE
            outcome.detail = "the proxy answers here itself, and no policy is asked"
            return None
        route = router.match(target.host, target.segments)
        if route is None:
            raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host and path")
        self.route, outcome.route = route, route.name
        if target.encoded_slash and route.config.encoded_slashes == "refuse":
            raise Refused(errors.TARGET_REFUSED, "path must not contain an encoded slash")
        return route

    # --- who

    def _method(self, route: Route, head: RequestHead) -> Method | None:
        """Return how the route lets the case's user be proven; None: there is none, or the route reads none."""
        who, rules = self.case.who, route.config.authenticate
        if who.user is None:
            return None
        self.desk.callers.require_known(who)
        offers: dict[Method, bool] = {
            "bearer": rules.header != "none",
            "session": rules.sign_in,
            "service_token": rules.header != "none",
            "assertion": rules.header != "none",
        }
        if who.method is not None:
            if not offers[who.method]:
                self._note(f"route {route.name} reads no {who.method.replace('_', ' ')}: user {who.user} is not seen")
            return who.method if offers[who.method] else None
        if self.desk.callers.asserts(who, rules) and offers["assertion"]:
            return "assertion"
        first: tuple[Method, Method] = ("session", "bearer") if is_navigation(head) else ("bearer", "session")
        for method in first:
            if offers[method] and self._may_sign_in(method):
                return method
        self._note(f"route {route.name} reads nothing that would prove the user: {who.user} is not seen")
        return None

    def _may_sign_in(self, method: Method) -> bool:
        """Tell whether an issuer that the case may mean proves users so."""
        issuers, name = self.desk.config.identity.issuers, self.case.who.issuer
        meant = [issuer for known, issuer in issuers.items() if name in (None, known)]
        if not self.desk.whole:
            return method == "bearer"
        return any(issuer.bearer is not None if method == "bearer" else issuer.login is not None for issuer in meant)

    def _caller(self, route: Route, method: Method | None, head: RequestHead) -> Principal:
        rules, callers = route.config.authenticate, self.desk.callers
        if len(head.values(b"authorization")) > 1:
            raise Refused(errors.AUTHORIZATION_DUPLICATE, "authorization must be there once at most")
        shown = head.values(b"proxy-authorization" if rules.header == "proxy-authorization" else b"authorization")
        scheme, _, token = shown[0].partition(b" ") if shown else (b"", b"", b"")
        if self.case.who.user is None and rules.header != "none" and scheme.lower() == b"bearer":
            if is_service_token(token) or is_program_token(token):
                self._note("the token is not known here: say whose it is")
            else:
                self._note("the token's signature has not been verified")
            return callers.by_token(token, rules, self.now)
        if self.case.who.user is None and rules.sign_in and handle_of(head.headers) is not None:
            self._note("the session that the cookie names is not known here: say whose it is")
        principal = callers.principal(self.case.who, method, rules, self.peer, self.now)
        if method is not None and principal.kind != "user":
            proof = method.replace("_", " ")
            self._note(f"route {route.name} does not take this {proof}: user {self.case.who.user} is not seen")
        return principal

    # --- whether

    def _inquire(self, head: RequestHead, headers: Headers, target: Target, route: Route) -> Inquiry:
        listener = self.listener
        encrypted = listener.tls is not None
        self.outcome.inquiry = inquiry = Inquiry(
            head=head,
            headers=headers,
            target=target,
            principal=self.principal,
            peer=self.peer,
            route=route.name,
            labels=route.config.labels,
            listener=listener.name,
            tls_version="TLSv1.3" if encrypted else None,
            sni=target.host if encrypted and not target.host.startswith("[") else None,
            source=self.case.source,
            source_port=0,
            time=self.now,
            request_id=_ID,
            decision_id=_ID,
            scheme="https" if encrypted else "http",
        )
        return inquiry

    def _decide(self, head: RequestHead, target: Target, route: Route) -> None:
        passing = clean_head(head).passing or []
        rules = route.config.authenticate
        if rules.header == "proxy-authorization" or (rules.pass_ and self.principal.method != "bearer"):
            passing = [*passing, *(field for field in head.headers if field[0] == b"authorization")]
        inquiry = self._inquire(head, passing, target, route)
        self.outcome.point = route.decision
        try:
            document = self.desk.engine.document(inquiry, route.decision)
            value = self.desk.engine.evaluate_now(route.decision, document)
            self.outcome.decision = value
            tell(self.outcome, verdict(read_answer(value), self.principal, self.now))
        except Refused as refused:
            raise explained(refused, route, self.principal) from refused

    def _refuse(self, refused: Refused, head: RequestHead | None) -> None:
        tell_refusal(self.outcome, refused, refused.__cause__ or refused)
        if head is not None and self._leads_to_sign_in(refused, head):
            self.outcome.status, self.outcome.headers = 303, ()

    def _leads_to_sign_in(self, refused: Refused, head: RequestHead) -> bool:
        """Tell whether a browser is led to sign in rather than refused; `server/visit` does so."""
        if self.route is None or not self.route.config.authenticate.sign_in or self.desk.config.sign_in is None:
            return False
        asks = refused.row is errors.CREDENTIALS_MISSING or (
            refused.row is errors.STEP_UP_REQUIRED and self.principal.method == "session"
        )
        return asks and is_navigation(head)

    def _note(self, note: str) -> None:
        self.outcome.notes += (note,)


def read_answer(value: object) -> Decision:
    """Return the decision that an engine's answer is.

    Raises:
        Refused: POLICY_UNDEFINED, POLICY_MALFORMED.
    """
    if type(value) is dict and (fault := find_fault(value)) is not None:
        raise Refused(errors.POLICY_MALFORMED, f"the decision's {fault}")
    return parse_decision(value)


def tell(outcome: Outcome, decision: Decision) -> None:
    """Put down what policy permits."""
    outcome.allow, outcome.reasons, outcome.headers = True, decision.reasons, _texts(decision.headers)


def tell_refusal(outcome: Outcome, refused: Refused, cause: BaseException) -> None:
    """Put down a refusal.

    Args:
        refused: as the client sees it.
        cause: as policy gave it.
    """
    outcome.status, outcome.code, outcome.detail = refused.status, refused.row.code, refused.detail
    outcome.public_reason, outcome.headers = refused.public_reason, _texts(refused.headers)
    if isinstance(cause, Denied):
        outcome.reasons = cause.decision.reasons


def _setting(listener: Listener, host: str) -> str:
    """Return whether a connection for a host is asked for a certificate; as `identity/tls.ServerTLS` finds it."""
    tls = listener.tls
    if tls is None:
        return "none"
    if not tls.certificates:
        return tls.client_certificates
    by_host = {pattern.lower(): one.client_certificates for one in tls.certificates for pattern in one.hosts}
    first = by_host.get("*", tls.certificates[0].client_certificates)
    return by_host.get(host) or by_host.get("*." + host.partition(".")[2], first)


def _texts(pairs: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in pairs)
