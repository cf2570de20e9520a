"""People who sign in, as one part of a snapshot: their sessions, their providers, the portal.

Sessions and what refreshes them go on through a reload; the rest is made anew of the config.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.config import Mistake
from proxy.config.mistake import Location
from proxy.config.schema import Config
from proxy.http.message import RequestHead
from proxy.http.target import parse_target
from proxy.identity.issuers import Issuers
from proxy.identity.login.provider import Provider
from proxy.identity.login.providers import build_providers
from proxy.identity.principal import Peer
from proxy.identity.sessions.keeping import Keeping, build_keeping
from proxy.identity.sessions.session import Session, principal_of_session
from proxy.policy.authorize import Authorizer
from proxy.policy.input import Inquiry
from proxy.portal.pages import App, Pages
from proxy.portal.picture import Picture, read_picture
from proxy.portal.portal import Portal
from proxy.portal.refresh import Refresher
from proxy.portal.request import Place
from proxy.portal.returning import HTTPS, Returns
from proxy.portal.site import Site
from proxy.portal.views import Views
from proxy.server.route import Route, Router


@dataclass(frozen=True, slots=True)
class Grounds:
    """What signing in rests on: everything of the config that is read before the routes are.

    Args:
        keeping: where sessions are.
        providers: that sign people in, by name.
        icons: of routes, by the route's name; the brand's logo under the empty name.
    """

    keeping: Keeping
    providers: Mapping[str, Provider]
    icons: Mapping[str, Picture]


@dataclass(frozen=True, slots=True)
class Staff:
    """People who sign in.

    Args:
        keeping: where their sessions are.
        portal: their pages; None where there is no sign-in, and service tokens alone are kept.
        site, refresher: what asks their providers about them, and with what; None where there is no sign-in.
    """

    keeping: Keeping
    portal: Portal | None = None
    site: Site | None = None
    refresher: Refresher | None = None

    def enter(self) -> None:
        """Have providers asked as this snapshot says: it serves from now on."""
        if self.refresher is not None and self.site is not None:
            self.refresher.site = self.site

    def notice(self, session: Session, now: float) -> None:
        """Take note that a session is used: it may be time to ask its provider about it."""
        if self.refresher is not None:
            self.refresher.notice(session, now)


def build_grounds(
    config: Config, issuers: Issuers, previous: Staff | None, *, make: bool
) -> tuple[Grounds | None, list[Mistake]]:
    """Read what signing in rests on, and collect every mistake in it.

    Args:
        make: whether files that are missing may be made.

    Returns:
        None where nobody signs in, or where there is a mistake.
    """
    if config.sign_in is None and "session" not in config.model_fields_set:
        return None, []
    before = None if previous is None else previous.keeping
    keeping, mistakes = build_keeping(config.session, config.state_directory, before, make=make)
    providers, wrong = build_providers(config.identity, issuers, _serving(previous))
    icons, also_wrong = _pictures(config)
    mistakes += wrong + also_wrong
    return (None if keeping is None else Grounds(keeping, providers, icons)), mistakes


def _serving(previous: Staff | None) -> Mapping[str, Provider]:
    return {} if previous is None or previous.refresher is None else previous.refresher.site.providers


def build_staff(
    config: Config, grounds: Grounds | None, routes: Iterable[Route], authorizer: Authorizer, previous: Staff | None
) -> Staff | None:
    """Return the part of a snapshot that is about people who sign in, or None where nobody does.

    Args:
        routes: every route that an ordinary listener serves.
        authorizer: says what they may open.
        previous: what serves now.
    """
    if grounds is None:
        return None
    if config.sign_in is None:
        return Staff(grounds.keeping)
    entered = [route for route in routes if route.config.authenticate.sign_in]
    site = _site(config, grounds, Router(entered))
    portal = Portal(site, _Applications(entered, grounds.icons, authorizer, site.authority))
    refresher = previous.refresher if previous is not None else None
    if refresher is None or refresher.site.store is not site.store:
        refresher = Refresher(site)
    return Staff(grounds.keeping, portal, site, refresher)


def _site(config: Config, grounds: Grounds, entered: Router) -> Site:
    assert config.sign_in is not None
    authority = config.sign_in.host
    host, _, port = authority.partition(":")
    pages = Pages(
        f"https://{authority}",
        brand=config.portal.brand,
        contact=config.portal.contact or "",
        logo=grounds.icons.get(""),
        icons=grounds.icons.values(),
    )

    def place(host: str, segments: tuple[str, ...]) -> Place | None:
        route = entered.match(host, segments)
        return None if route is None else Place(route.name, _title(route), route.config.authenticate.issuers)

    return Site(
        authority=authority,
        returns=Returns(host, int(port or HTTPS), place),
        providers=grounds.providers,
        sessions=grounds.keeping.sessions,
        store=grounds.keeping.store,
        keyring=grounds.keeping.keyring,
        views=Views(pages),
        lifetime=config.session.lifetime,
        refresh=config.session.refresh,
        bind_device=config.session.bind_device,
    )


class _Applications:
    """The routes that policy would let somebody open; nothing of it is recorded, for nothing is asked for."""

    def __init__(
        self, routes: Iterable[Route], icons: Mapping[str, Picture], authorizer: Authorizer, authority: str
    ) -> None:
        shown = [route for route in routes if not route.config.portal.hidden]
        _, colon, port = authority.partition(":")
        self._shown = [(route, host + colon + port) for route in shown for host in route.config.host if "*" not in host]
        self._icons = icons
        self._authorizer = authorizer

    async def __call__(self, session: Session, peer: Peer | None, source: str) -> list[App]:
        return [
            self._app(route, host)
            for route, host in self._shown
            if await self._authorizer.would_permit(_inquiry(route, host, session, peer, source), route.decision)
        ]

    def _app(self, route: Route, host: str) -> App:
        shown, icon = route.config.portal, self._icons.get(route.name)
        return App(_title(route), f"https://{host}{route.config.path}", shown.description or "", icon)


def _inquiry(route: Route, host: str, session: Session, peer: Peer | None, source: str) -> Inquiry:
    """Return the question whether somebody may look at the first page of a route."""
    path = route.config.path.encode("ascii")
    head = RequestHead(b"GET", path, (1, 1), [(b"host", host.encode("ascii"))])
    return Inquiry(
        head=head,
        headers=[],
        target=parse_target(head.method, path, [host.encode("ascii")], head.version),
        principal=principal_of_session(session),
        peer=peer,
        route=route.name,
        labels=route.config.labels,
        listener="",
        tls_version=None,
        sni=None,
        source=source,
        source_port=0,
        time=time.time(),
        request_id="",
        decision_id="",
        scheme="https",
    )


def _title(route: Route) -> str:
    return route.config.portal.title or route.name


def _pictures(config: Config) -> tuple[dict[str, Picture], list[Mistake]]:
    pictures: dict[str, Picture] = {}
    mistakes: list[Mistake] = []
    named: list[tuple[str, Path | None, Location]] = [("", config.portal.logo, ("portal", "logo"))]
    named += [(route.name, route.portal.icon, ("routes", i, "portal", "icon")) for i, route in enumerate(config.routes)]
    for name, path, location in named:
        if path is None:
            continue
        try:
            pictures[name] = read_picture(path)
        except ValueError as error:
            mistakes.append(Mistake(location, str(error)))
    return pictures, mistakes
