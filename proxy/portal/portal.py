"""The portal: the paths under `/.ztproxy/`, which the proxy answers itself, and the way to sign in. Read this first.

    on an application host   sign-in, handover, command-line, token, revoke; the other pages lead to the sign-in host
    on the sign-in host      sign-in, callback/NAME, applications, who, sign-out, signed-out, backchannel-logout/NAME
    on both                  static/NAME

It knows no socket, and neither clock nor task: a request and the time come in, an answer goes out. What it writes to
the store it writes for people who have signed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from proxy.errors import ROUTE_NOT_FOUND, Refused
from proxy.http.message import Headers, Target
from proxy.identity.principal import Peer
from proxy.identity.sessions.session import Session, programs_of
from proxy.policy.decision import StepUp
from proxy.portal.backchannel import BackChannel
from proxy.portal.commandline import DONE, CommandLine
from proxy.portal.csrf import Forms
from proxy.portal.entrance import Entrance
from proxy.portal.flow import Flow
from proxy.portal.handover import HandOvers
from proxy.portal.holder import Holder
from proxy.portal.pages import App
from proxy.portal.request import PREFIX, PortalRequest, Stopped, Told, redirect
from proxy.portal.returning import COMMAND_LINE, is_portal
from proxy.portal.signout import FORM, SignOut
from proxy.portal.site import Site

Applications = Callable[[Session, Peer | None, str], Awaitable[Sequence[App]]]


class Portal:
    """What the exchange asks.

    Args:
        site: the sign-in host and what it works with.
        applications: the routes that policy would let somebody open; asked with session, peer and source address.
    """

    def __init__(self, site: Site, applications: Applications) -> None:
        self._site = site
        self._applications = applications
        self._holder = Holder(site)
        self._forms = Forms(site.keyring, site.origin)
        handovers = HandOvers(site.store, site.keyring)
        self._flow = Flow(site, self._holder, handovers)
        self._entrance = Entrance(site, self._holder, handovers)
        self._sign_out = SignOut(site, self._holder, self._forms)
        self._backchannel = BackChannel(site)
        self._command_line = CommandLine(site, self._holder, self._entrance)

    def owns(self, target: Target) -> bool:
        """Tell whether the portal answers a target, whatever the routes say: before routing, and without a policy."""
        return is_portal(target) or (target.path == b"/" and self._site.returns.is_sign_in(target))

    def begin(
        self, target: Target, headers: Headers, now: float, request_id: str, *, step_up: StepUp | None = None
    ) -> Told:
        """Send a browser that navigates without a session (or with one that policy finds too weak) to sign in.

        The caller has seen that this is a navigation, and that the route has `sign_in`.

        Args:
            target: where it wanted to go, and will come back to.
            headers: the request's, for its cookies.
            now: POSIX seconds.
            request_id: the reference to quote.
            step_up: what policy requires, or None.
        """
        try:
            return self._entrance.begin(target, headers, now, request_id, step_up)
        except Stopped as stopped:
            request = PortalRequest(b"GET", target, headers, b"", "", None, request_id, now)
            return self._site.views.stopped(stopped, request)

    def refused(self, refused: Refused, request: PortalRequest, session: Session, application: str) -> Told:
        """Return the page for somebody whom policy refused, on whichever host.

        Args:
            refused: with the policy's sentence, if it gave one.
            request: the one that was refused; its body does not matter.
            session: as whom.
            application: what people call the route.
        """
        return self._site.views.refused(
            refused, request, session, application=application, another=self._entrance.another(request.target)
        )

    async def answer(self, request: PortalRequest) -> Told:
        """Answer a request for a target that `owns` took, its refusals too."""
        try:
            if self._site.returns.is_sign_in(request.target):
                return await self._answer_sign_in_host(request, _name(request.target))
            return await self._answer_application_host(request, _name(request.target))
        except Refused as refused:
            return self._site.views.stopped(refused, request)

    async def _answer_sign_in_host(self, request: PortalRequest, name: str) -> Told:
        page, _, rest = name.partition("/")
        if page == "backchannel-logout" and rest:
            return await self._backchannel.end(request, rest)
        if name == "sign-out":
            return await self._sign_out.answer(request)
        if name == "sign-in":
            request.require_method(b"GET")
            return await self._flow.start(request)
        if page == "callback" and rest:
            request.require_method(b"GET")  # `response_mode=query` alone; no form_post, and no HEAD that spends a code
            return await self._flow.callback(request, rest)
        request.require_method(b"GET", b"HEAD")
        if request.target.path == b"/":
            return redirect(self._site.origin + PREFIX, request.request_id)
        if name == "signed-out":
            return self._site.views.signed_out(request, None)
        if name in ("", "who"):
            return await self._page(request, name)
        return self._asset(request, page, rest)

    async def _answer_application_host(self, request: PortalRequest, name: str) -> Told:
        page, _, rest = name.partition("/")
        if page == COMMAND_LINE:
            return await self._command_line.confirm(request)
        if name in ("token", "revoke"):
            return await self._command_line.answer(request, name)
        request.require_method(b"GET") if name in ("sign-in", "handover") else request.require_method(b"GET", b"HEAD")
        if name == "sign-in":
            return self._entrance.sign_in(request)
        if name == "handover":
            return await self._entrance.arrive(request)
        if name in ("", "who", "sign-out", "signed-out"):
            return redirect(f"{self._site.origin}{PREFIX}{name}", request.request_id)
        if name == DONE:
            return self._site.views.program_may(request)
        return self._asset(request, page, rest)

    async def _page(self, request: PortalRequest, name: str) -> Told:
        """Answer with a page of a person's own; who has not signed in does so first."""
        session = await self._holder.session(request)
        if session is None:
            location = f"{self._site.origin}{PREFIX}sign-in?return={PREFIX}{name}"
            return redirect(location, request.request_id)
        token = self._forms.token(session, FORM)
        if name == "who":
            programs = programs_of(await self._site.store.handles(session.id))
            return self._site.views.who(request, session, token, self._site.title(session.issuer), programs)
        applications = await self._applications(session, request.peer, request.source)
        return self._site.views.applications(request, session, applications, token)

    def _asset(self, request: PortalRequest, page: str, name: str) -> Told:
        if page == "static" and (asset := self._site.views.asset(name)) is not None:
            return asset
        raise Refused(ROUTE_NOT_FOUND, "the portal has no such page")


def _name(target: Target) -> str:
    """Return what stands behind the prefix, decoded."""
    return "/".join(target.segments[1:])
