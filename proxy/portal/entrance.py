"""The application hosts' part of signing in: where it begins, and where the person arrives.

    begin    a browser without a session, or with too weak a one, is given a nonce and sent to the sign-in host
    sign_in  the same from a link: `/.ztproxy/sign-in?return=/page`
    arrive   the sign-in host's code becomes a session of this host

Nothing is written before `arrive`, and that only for a code that is good. A browser that goes round without getting
through (it keeps no cookies, or policy asks for what signing in cannot give) is stopped and told.
"""

from __future__ import annotations

from urllib.parse import quote

from proxy.errors import ROUTE_NOT_FOUND, SIGN_IN_REPEATED, TARGET_REFUSED
from proxy.http.cookies import cookies_of
from proxy.http.message import Headers, Target
from proxy.policy.decision import StepUp
from proxy.portal.handover import HandOvers, Nonce, new_nonce, nonce_of
from proxy.portal.holder import Holder
from proxy.portal.request import PREFIX, PortalRequest, Stopped, Told, redirect
from proxy.portal.returning import Return, authority_of, return_to
from proxy.portal.site import Site
from proxy.portal.state import Asked, digest, seal_asked

_CHOICE = b"provider="
_STEP_UP_SENTENCE = (
    "You have signed in again, but this still asks for a fresher or stronger sign-in than your provider gives."
)


class Entrance:
    """What application hosts ask of the portal."""

    def __init__(self, site: Site, holder: Holder, handovers: HandOvers) -> None:
        self._site = site
        self._holder = holder
        self._handovers = handovers

    def begin(self, target: Target, headers: Headers, now: float, request_id: str, step_up: StepUp | None) -> Told:
        """Send a browser to the sign-in host, to come back to a target.

        Raises:
            Stopped: nobody signs in there, or this browser has just been there and back several times.
        """
        if self._site.returns.place(target) is None:
            raise Stopped(ROUTE_NOT_FOUND, "a route must be reached at its own host and port to sign in on")
        back = return_to(target)
        nonce = nonce_of(cookies_of(headers), now) or new_nonce(now)
        if nonce.is_loop(now):
            sentence = None if step_up is None else _STEP_UP_SENTENCE
            raise Stopped(SIGN_IN_REPEATED, _loop(step_up), again=_begin_again(back), sentence=sentence)
        provider = None if step_up is not None else self._asked_for(target)
        return self._leave(back, nonce, now, request_id, step_up, provider=provider)

    def sign_in(self, request: PortalRequest) -> Told:
        """Answer `GET /.ztproxy/sign-in` of an application host; whoever clicks has broken the loop.

        Raises:
            Stopped: the return address is none of ours.
        """
        parameters = request.parameters()
        host = authority_of(request.target.host, request.target.port)
        back = self._site.returns.read(parameters.get("return", "/"), host)
        if back is None or back.authority != host:
            raise Stopped(TARGET_REFUSED, "a return address must be a page of this host that people sign in on")
        held = nonce_of(cookies_of(request.headers), request.now) or new_nonce(request.now)
        nonce = Nonce(held.value, 0, int(request.now))
        another = "another" in parameters
        return self._leave(
            back, nonce, request.now, request.request_id, None, another=another, provider=parameters.get("provider")
        )

    def another(self, target: Target) -> str:
        """Return the address at which to sign in as somebody else, and come back to a target."""
        return f"{_begin_again(return_to(target))}&another=1"

    async def arrive(self, request: PortalRequest) -> Told:
        """Answer `GET /.ztproxy/handover` of an application host.

        Raises:
            Stopped: the code is no good here.
            StoreUnavailable: nobody knows.
        """
        host = authority_of(request.target.host, request.target.port)
        nonce = nonce_of(cookies_of(request.headers), request.now)
        code = request.parameters().get("code", "")
        try:
            handed = await self._handovers.redeem(code, host, nonce, request.now)
            self._site.returns.require(handed.back)
            handle = await self._holder.arrive(handed.session_id, request)
        except Stopped as stopped:
            stopped.again = stopped.again or self._front(host)
            raise
        fields = [handle, handed.nonce.after_a_round(request.now).field()]
        return redirect(handed.back.url, request.request_id, fields)

    def _leave(
        self,
        back: Return,
        nonce: Nonce,
        now: float,
        request_id: str,
        step_up: StepUp | None,
        *,
        another: bool = False,
        provider: str | None = None,
    ) -> Told:
        asked = Asked(back, digest(nonce.value), now, step_up, another)
        location = f"{self._site.origin}{PREFIX}sign-in?to={seal_asked(self._site.keyring, asked)}"
        if provider in self._site.providers:
            location += f"&provider={provider}"
        return redirect(location, request_id, [nonce.field()])

    def _asked_for(self, target: Target) -> str | None:
        """Return the provider that `?provider=NAME` of a page chooses, if it may sign people in there.

        The name is the application's too, so that anything else is the application's business, and no mistake.
        """
        asked = [pair[len(_CHOICE) :] for pair in (target.query or b"").split(b"&") if pair.startswith(_CHOICE)]
        place = self._site.returns.place(target)
        if len(asked) != 1 or place is None:
            return None
        name = asked[0].decode("ascii", "replace")
        return name if place.providers is None or name in place.providers else None

    def _front(self, host: str) -> str:
        """Return the first page of a host, if people sign in on it."""
        front = Return(host, "/")
        return front.url if self._site.returns.accepts(front) else ""


def _loop(step_up: StepUp | None) -> str:
    if step_up is None:
        return "a browser must keep the session that it is given"
    return "policy must not ask for a sign-in that the provider does not give"


def _begin_again(back: Return) -> str:
    return f"https://{back.authority}{PREFIX}sign-in?return={quote(back.path, safe='/')}"
