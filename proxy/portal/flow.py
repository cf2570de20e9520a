"""Signing in at the sign-in host: to a provider, back from it, and on to where the person wanted to go.

    start      a session that is good enough goes on at once; else a provider is chosen, and the browser sent there
    callback   what the provider sent back is proven, and becomes a session with a new handle

Until a provider's answer was verified nothing is written to the store. What comes back counts only with the cookie
that this browser was given when it left (login CSRF), for the provider that it left to (mix-up, RFC 9700 section 4.4),
and once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.errors import SIGN_IN_EXPIRED, SIGN_IN_REFUSED, SIGN_IN_UNAVAILABLE, TARGET_REFUSED
from proxy.http.cookies import PROVIDER, cookies_of, set_cookie
from proxy.http.message import Headers
from proxy.identity.login.outcome import LoginRefused, LoginUnavailable
from proxy.identity.login.provider import Provider
from proxy.identity.sessions.session import Session
from proxy.policy.decision import StepUp
from proxy.portal.handover import HandOvers
from proxy.portal.holder import Holder
from proxy.portal.request import PREFIX, PortalRequest, Stopped, Told, redirect
from proxy.portal.site import Site
from proxy.portal.state import (
    SIGN_IN_SECONDS,
    Asked,
    Begun,
    begin,
    begun_cookies,
    forget_begun,
    open_asked,
    open_begun,
    seal_asked,
)

PATH = PREFIX + "sign-in"
_REMEMBERED_SECONDS = 180 * 24 * 3600
# What a provider answers with that another attempt may cure (OpenID Connect Core section 3.1.2.6, RFC 6749 4.1.2.1).
_UNAVAILABLE = frozenset({"temporarily_unavailable", "server_error"})


class Flow:
    """The sign-in of one sign-in host."""

    def __init__(self, site: Site, holder: Holder, handovers: HandOvers) -> None:
        self._site = site
        self._holder = holder
        self._handovers = handovers

    async def start(self, request: PortalRequest) -> Told:
        """Answer `GET /.ztproxy/sign-in` of the sign-in host.

        Raises:
            Stopped: what was asked is not ours, too old, or leads nowhere.
            StoreUnavailable: nobody knows who this is.
        """
        parameters = request.parameters()
        asked = self._asked(parameters, request)
        session = await self._holder.session(request)
        providers = self._providers(asked)
        if session is not None and session.issuer in providers and _satisfies(session, asked, request.now):
            return await self._go_on(session, asked, request, [])
        if asked.step_up is not None and session is not None and session.issuer in providers:
            return await self._leave(self._site.providers[session.issuer], asked, request, session)
        chosen = self._chosen(parameters, providers, asked, request)
        if chosen is None:
            return self._choose(providers, asked, request)
        return await self._leave(chosen, asked, request, None)

    async def callback(self, request: PortalRequest, name: str) -> Told:
        """Answer `GET /.ztproxy/callback/<provider>`: what a provider sends a browser back with.

        Raises:
            Stopped: this browser was not sent to this provider, or the provider's answer does not hold.
            StoreUnavailable: the session could not be kept.
        """
        parameters = request.parameters()
        state = parameters.get("state", "")
        begun = open_begun(self._site.keyring, state, cookies_of(request.headers), request.now)
        if begun is None:
            raise Stopped(SIGN_IN_EXPIRED, "state must be one that this browser was given, within 10 minutes")
        try:
            return await self._return(request, name, begun, parameters)
        except Stopped as stopped:
            stopped.fields = (*stopped.fields, forget_begun(state))
            stopped.again = stopped.again or self._again(begun.asked)
            raise

    # --- leaving

    def _asked(self, parameters: Mapping[str, str], request: PortalRequest) -> Asked:
        site, now = self._site, request.now
        another = "another" in parameters
        if "to" not in parameters:
            back = site.returns.read(parameters.get("return", PREFIX), site.authority)
            if back is None:
                raise Stopped(TARGET_REFUSED, "a return address must be one of a route that people sign in on")
            return Asked(back, "", now, another=another)
        asked = open_asked(site.keyring, parameters["to"], now)
        if asked is None:
            raise Stopped(SIGN_IN_EXPIRED, "the way to sign in must begin at a route")
        if asked.expired(now):
            raise Stopped(SIGN_IN_EXPIRED, "a sign-in must be begun within 10 minutes", again=self._again(asked))
        site.returns.require(asked.back)
        return asked.renewed(now, another=another) if another else asked

    def _providers(self, asked: Asked) -> Sequence[str]:
        """Return the providers that may sign somebody in there, in the order of the config."""
        allowed = self._site.returns.providers(asked.back)
        return [name for name in self._site.providers if allowed is None or name in allowed]

    def _chosen(
        self, parameters: Mapping[str, str], providers: Sequence[str], asked: Asked, request: PortalRequest
    ) -> Provider | None:
        name = parameters.get("provider")
        if name is not None and name not in providers:
            raise Stopped(SIGN_IN_REFUSED, "provider must be one of the route's", again=self._again(asked))
        if name is None and len(providers) == 1:
            name = providers[0]
        if name is None and not asked.another:
            name = cookies_of(request.headers).get(PROVIDER, b"").decode("ascii")
        return self._site.providers[name] if name is not None and name in providers else None

    def _choose(self, providers: Sequence[str], asked: Asked, request: PortalRequest) -> Told:
        if not providers:
            raise Stopped(SIGN_IN_REFUSED, "a route that people sign in on must have a provider")
        to = seal_asked(self._site.keyring, asked)
        links = [(self._site.providers[name].title, f"{PATH}?to={to}&provider={name}") for name in providers]
        return self._site.views.choose(links, self._site.returns.title(asked.back), request)

    async def _leave(self, provider: Provider, asked: Asked, request: PortalRequest, session: Session | None) -> Told:
        """Send the browser to a provider; for a step-up of a session, as the same person if it can be had."""
        begun = begin(provider.name, asked, request.now)
        require = asked.step_up or StepUp()
        try:
            location = await provider.authorization_url(
                redirect_uri=self._site.redirect_uri(provider.name),
                state=begun.state,
                nonce=begun.nonce,
                code_verifier=begun.verifier,
                prompt=_prompt(asked),
                max_age=require.max_age,
                acr=require.acr,
                login_hint=(session.email or None) if session is not None else None,
            )
        except LoginUnavailable as error:
            raise Stopped(SIGN_IN_UNAVAILABLE, str(error), again=self._again(asked)) from None
        cookies = begun_cookies(self._site.keyring, begun, cookies_of(request.headers), request.now)
        return redirect(location, request.request_id, cookies)

    # --- coming back

    async def _return(self, request: PortalRequest, name: str, begun: Begun, parameters: Mapping[str, str]) -> Told:
        site, asked = self._site, begun.asked
        provider = site.providers.get(begun.provider)
        if provider is None or name != begun.provider:
            raise Stopped(SIGN_IN_REFUSED, "a provider must answer at its own redirect uri")
        require = asked.step_up or StepUp()
        try:
            if "error" in parameters:
                provider.verify_issuer(parameters.get("iss"))
                raise _provider_refused(parameters["error"])
            identity = await provider.redeem(
                parameters.get("code", ""),
                parameters.get("iss"),
                redirect_uri=site.redirect_uri(name),
                nonce=begun.nonce,
                code_verifier=begun.verifier,
                max_age=require.max_age,
                acr=require.acr,
            )
        except LoginRefused as error:
            raise Stopped(SIGN_IN_REFUSED, str(error), sentence=error.public) from None
        except LoginUnavailable as error:
            raise Stopped(SIGN_IN_UNAVAILABLE, str(error)) from None
        if not await self._site.store.once("state", begun.state, begun.at + SIGN_IN_SECONDS + 60):
            raise Stopped(SIGN_IN_EXPIRED, "a state must be used once")
        session, handle = await self._holder.sign_in(identity, begun, request)
        fields = [handle, set_cookie(PROVIDER, name.encode("ascii"), _REMEMBERED_SECONDS), forget_begun(begun.state)]
        return await self._go_on(session, asked, request, fields)

    async def _go_on(self, session: Session, asked: Asked, request: PortalRequest, fields: Headers) -> Told:
        """Send a person who has signed in to where he wanted to go."""
        self._site.returns.require(asked.back)
        if not asked.nonce:  # a page of ours; or a link without a browser's nonce, which begins anew over there
            return redirect(asked.back.url, request.request_id, fields)
        location = await self._handovers.issue(session, asked.back, asked.nonce, request.now)
        return redirect(location, request.request_id, fields)

    def _again(self, asked: Asked) -> str:
        return asked.back.url if self._site.returns.accepts(asked.back) else ""


def _satisfies(session: Session, asked: Asked, now: float) -> bool:
    """Tell whether a session is as fresh and as strong as was asked for, so that nobody need sign in."""
    if asked.another:
        return False
    require = asked.step_up
    if require is None:
        return True
    # A provider says `auth_time` where it is asked for `max_age`; policy goes by nothing else.
    told = "auth_time" in session.claims
    fresh = require.max_age is None or (told and now - session.authenticated_at <= require.max_age)
    return fresh and (not require.acr or session.acr in require.acr)


def _prompt(asked: Asked) -> str | None:
    """Return what a provider is to ask the person for (OpenID Connect Core section 3.1.2.1).

    A session is too old for `max_age` when that is asked; not every provider heeds `max_age` alone.
    """
    if asked.another:
        return "select_account"
    return "login" if asked.step_up is not None and asked.step_up.max_age is not None else None


def _provider_refused(error: str) -> Stopped:
    """Return what becomes of an error that the provider answered with; its text is not shown to anybody."""
    if error in _UNAVAILABLE:
        return Stopped(SIGN_IN_UNAVAILABLE, f"provider answered {error}")
    known = error if error.isascii() and error.replace("_", "").isalpha() and len(error) <= 40 else "an unknown error"
    return Stopped(SIGN_IN_REFUSED, f"provider answered {known}")
