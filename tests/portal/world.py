"""A sign-in host, two application hosts, providers and a browser, without a socket."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.cookies import SimpleCookie
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from proxy.errors import Refused
from proxy.http.message import Headers, Target
from proxy.http.target import parse_target
from proxy.identity.login.outcome import Ended, Identity, LoginRefused, LoginUnavailable, LogoutToken, Postponed
from proxy.identity.principal import Peer
from proxy.identity.sealed import Keyring
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.session import Session
from proxy.identity.sessions.store import Store, StoreUnavailable
from proxy.policy.decision import StepUp
from proxy.portal.pages import App, Pages
from proxy.portal.portal import Portal
from proxy.portal.request import Place, PortalRequest, Stopped, Told
from proxy.portal.returning import Returns
from proxy.portal.site import Site
from proxy.portal.views import Views

ACCESS, WIKI, GIT = "access.example.org", "wiki.example.org", "git.example.org"
NOW = 1_800_000_000.0
KEY = b"k" * 32


@dataclass
class FakeProvider:
    """A provider as the portal sees it: codes are good once, for one nonce, verifier and redirect URI."""

    name: str = "corp"
    title: str = "Example SSO"
    issuer_url: str = "https://idp.example"
    now: float = NOW
    person: dict[str, Any] = field(default_factory=lambda: {"subject": "alice", "email": "alice@example.org"})
    down: bool = False
    needs_iss: bool = True
    ends_sessions: bool = True
    refreshes: list[str] = field(default_factory=list)
    refreshed: Identity | Ended | Postponed | None = None
    logout_tokens: dict[str, LogoutToken] = field(default_factory=dict)
    _codes: dict[str, tuple[dict[str, str], Identity]] = field(default_factory=dict)

    async def authorization_url(self, **parameters: Any) -> str:
        if self.down:
            raise LoginUnavailable("provider must be reachable")
        verifier = parameters.pop("code_verifier")
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        parameters["acr"] = " ".join(parameters["acr"])
        query = {name: value for name, value in parameters.items() if value} | {"code_challenge": challenge}
        return f"{self.issuer_url}/authorize?{urlencode(query)}"

    def consent(self, location: str, **changes: Any) -> str:
        """Return where the provider sends the browser once the person has signed in."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        code = token_urlsafe(16)
        self._codes[code] = (asked, self.identity(**changes))
        query = {"code": code, "state": asked["state"]} | ({"iss": self.issuer_url} if self.needs_iss else {})
        return f"{asked['redirect_uri']}?{urlencode(query)}"

    def identity(self, **changes: Any) -> Identity:
        made = Identity(
            self.name,
            self.issuer_url,
            groups=("staff",),
            amr=("pwd",),
            acr="one",
            authenticated_at=self.now,
            claims={"auth_time": self.now},
            provider_sid="sid-1",
            refresh_token="refresh-0",
            id_token="id-token-0",
            **self.person,
        )
        return replace(made, **changes)

    async def redeem(
        self,
        code: str,
        iss: str | None,
        *,
        redirect_uri: str,
        nonce: str,
        code_verifier: str,
        max_age: int | None = None,
        acr: Sequence[str] = (),
    ) -> Identity:
        self.verify_issuer(iss)
        if self.down:
            raise LoginUnavailable("provider must be reachable")
        asked, identity = self._codes.pop(code, ({}, None))
        challenge = urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        if identity is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != redirect_uri:
            raise LoginRefused("code must be good")
        if asked["nonce"] != nonce:
            raise LoginRefused("nonce must be ours")
        if acr and identity.acr not in acr:
            raise LoginRefused(
                "acr must be one that was asked for", "Your provider did not sign you in strongly enough."
            )
        if max_age is not None and self.now - identity.authenticated_at > max_age:
            raise LoginRefused("auth_time must be recent")
        return identity

    def verify_issuer(self, iss: str | None) -> None:
        if iss is None and not self.needs_iss:
            return
        if iss != self.issuer_url:
            raise LoginRefused("iss must be the provider's")

    async def refresh(self, refresh_token: str, session: Session) -> Identity | Ended | Postponed:
        self.refreshes.append(refresh_token)
        if self.down:
            raise LoginUnavailable("provider must be reachable")
        assert self.refreshed is not None
        return self.refreshed

    async def end_session_url(self, **parameters: str) -> str | None:
        return f"{self.issuer_url}/end?{urlencode(parameters)}" if self.ends_sessions else None

    async def verify_logout_token(self, text: str, now: float) -> LogoutToken:
        if text not in self.logout_tokens:
            raise LoginRefused("logout token must be signed")
        return self.logout_tokens[text]


@dataclass
class Shown:
    """What a page was told to show."""

    page: str
    values: dict[str, Any]


class WatchedViews(Views):
    """The real pages, and what the last one was told to show."""

    def __init__(self, pages: Pages) -> None:
        super().__init__(pages)
        self.shown = Shown("", {})

    def choose(self, links: Sequence[tuple[str, str]], application: str, request: PortalRequest) -> Told:
        self.shown = Shown("choose", {"links": list(links), "application": application})
        return super().choose(links, application, request)

    def who(
        self, request: PortalRequest, session: Session, token: str, provider: str, programs: Sequence[str] = ()
    ) -> Told:
        shown = {"session": session, "token": token, "provider": provider, "programs": programs}
        self.shown = Shown("who", shown)
        return super().who(request, session, token, provider, programs)

    def applications(self, request: PortalRequest, session: Session, apps: Sequence[App], token: str) -> Told:
        self.shown = Shown("applications", {"session": session, "apps": apps, "token": token})
        return super().applications(request, session, apps, token)

    def signed_out(self, request: PortalRequest, provider: tuple[str, str] | None) -> Told:
        self.shown = Shown("signed out", {"way": provider})
        return super().signed_out(request, provider)

    def stopped(self, refused: Refused, request: PortalRequest) -> Told:
        again = refused.again if isinstance(refused, Stopped) else ""
        self.shown = Shown("stopped", {"again": again, "sentence": refused.public_reason})
        return super().stopped(refused, request)


PAGES = Pages(f"https://{ACCESS}", brand="Example", contact="it@example.org")


def places(host: str, segments: tuple[str, ...]) -> Place | None:
    """Find the routes of this world: two hosts, a path that nobody signs in on, and one for partners alone."""
    if host not in (WIKI, GIT) or segments[:1] == ("open",):
        return None
    return Place(host.partition(".")[0], host, ("partner",) if segments[:1] == ("partners",) else None)


class World:
    """All of it."""

    def __init__(self, store: Store, *providers: FakeProvider, bind_device: bool = False) -> None:
        self.store = store
        self.now = NOW
        self.providers = {provider.name: provider for provider in providers or (FakeProvider(),)}
        self.views = WatchedViews(PAGES)
        self.sessions = Sessions(store, idle=3600, clock=lambda: self.now)
        self.keyring = Keyring.of(KEY)
        self.site = Site(
            ACCESS,
            Returns(ACCESS, 443, places),
            self.providers,  # type: ignore[arg-type]
            self.sessions,
            store,
            self.keyring,
            self.views,
            lifetime=12 * 3600,
            refresh=600,
            bind_device=bind_device,
        )
        self.portal = Portal(self.site, self._applications)

    @property
    def provider(self) -> FakeProvider:
        return next(iter(self.providers.values()))

    async def _applications(self, session: Session, peer: Peer | None, source: str) -> list[App]:
        return [App("Wiki", f"https://{WIKI}/"), App("Git", f"https://{GIT}/")]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        for provider in self.providers.values():
            provider.now = self.now


def target(url: str) -> Target:
    """Return the target of a URL."""
    split = urlsplit(url)
    path = url.removeprefix(f"https://{split.netloc}") or "/"
    return parse_target(b"GET", path.encode(), [split.netloc.encode()], (1, 1))


class Browser:
    """Keeps cookies by host, as browsers keep `__Host-` cookies, and follows redirects of the proxy."""

    def __init__(self, world: World, peer: Peer | None = None) -> None:
        self.world = world
        self.peer = peer
        self.jar: dict[str, dict[str, str]] = {}
        self.trail: list[str] = []

    def cookies(self, host: str) -> dict[str, str]:
        return self.jar.setdefault(host, {})

    def headers(self, host: str, *more: tuple[bytes, bytes]) -> Headers:
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies(host).items())
        return ([(b"cookie", pairs.encode())] if pairs else []) + [(b"accept", b"text/html"), *more]

    def keep(self, url: str, told: Told) -> Told:
        """Take the cookies of an answer, and check what each must be."""
        jar = self.cookies(urlsplit(url).netloc)
        for name, value in told.headers:
            if name != b"set-cookie":
                continue
            text = value.decode("ascii")
            key, morsel = next(iter(SimpleCookie(text).items()))
            assert key.startswith("__Host-ztproxy")
            assert text.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
            assert "domain" not in text.lower()
            assert len(text.partition(";")[0]) <= 4096
            if int(morsel["max-age"]) == 0:
                jar.pop(key, None)
            else:
                jar[key] = morsel.value
        return told

    async def get(self, url: str, *more: tuple[bytes, bytes], method: bytes = b"GET") -> Told:
        """Ask the portal."""
        return await self._ask(method, url, b"", more)

    async def post(self, url: str, form: dict[str, str], *more: tuple[bytes, bytes]) -> Told:
        """Send a form, as a page of the same origin does unless told otherwise."""
        kind = (b"content-type", b"application/x-www-form-urlencoded")
        site = () if any(name == b"sec-fetch-site" for name, _ in more) else ((b"sec-fetch-site", b"same-origin"),)
        return await self._ask(b"POST", url, urlencode(form).encode(), (kind, *site, *more))

    async def _ask(self, method: bytes, url: str, body: bytes, more: tuple[tuple[bytes, bytes], ...]) -> Told:
        self.trail.append(url)
        host = urlsplit(url).netloc
        request = PortalRequest(
            method, target(url), self.headers(host, *more), body, "192.0.2.1", self.peer, "req-1", self.world.now
        )
        assert self.world.portal.owns(request.target)
        return self.keep(url, await self.world.portal.answer(request))

    def begin(self, url: str, step_up: StepUp | None = None) -> Told:
        """Ask for a page of an application that sends people to sign in."""
        host = urlsplit(url).netloc
        told = self.world.portal.begin(target(url), self.headers(host), self.world.now, "req-0", step_up=step_up)
        return self.keep(url, told)

    async def session(self, host: str) -> Session | None:
        """Return the session that the browser has at a host."""
        handle = self.cookies(host).get("__Host-ztproxy", "").encode()
        device = self.peer.id if self.peer is not None else ""
        return await self.world.sessions.read(handle, host, self.world.now, device=device)

    async def follow(self, told: Told, **changes: Any) -> tuple[str, Told]:
        """Follow redirects to the end, signing in at providers; return the last place and answer."""
        while (location := location_of(told)) is not None:
            for provider in self.world.providers.values():
                if location.startswith(provider.issuer_url):
                    self.trail.append(location)
                    location = provider.consent(location, **changes)
            if not self.world.portal.owns(target(location)):
                return location, told
            told = await self.get(location)
        return self.trail[-1], told

    async def sign_in(self, url: str = f"https://{WIKI}/page?q=1", **changes: Any) -> str:
        """Sign in for a page; return where the browser ends."""
        return (await self.follow(self.begin(url), **changes))[0]


def location_of(told: Told) -> str | None:
    """Return where an answer sends a browser."""
    found = [value.decode("ascii") for name, value in told.headers if name == b"location"]
    return found[0] if told.status == 303 else None


def parameter(url: str, name: str) -> str:
    """Return a query parameter of a URL."""
    return parse_qs(urlsplit(url).query)[name][0]


def changed(url: str, **parameters: str) -> str:
    """Return a URL with other parameters."""
    split = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(split.query).items()} | parameters
    return f"https://{split.netloc}{split.path}?{urlencode(query)}"


class WatchedStore:
    """A store that says which of its methods were called, and can go away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []
        self.gone = False

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        if self.gone:
            raise StoreUnavailable("store must be there")
        return getattr(self._store, name)
