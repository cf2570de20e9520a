"""Where people sign in: the one host that has the pages, and the rules about the routes that lead there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator

from proxy.config.login import login_mistakes
from proxy.config.mistake import Location, Mistake
from proxy.config.section import Section
from proxy.config.values import Text

if TYPE_CHECKING:
    from proxy.config.schema import Config, Route

_AUTHORITY: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?", re.ASCII)


def _authority(value: str) -> str:
    if not _AUTHORITY.fullmatch(value):
        raise ValueError("must be a lower-case host, with the port that browsers use where that is not 443")
    return value.removesuffix(":443")


class SignIn(Section):
    """The host of the sign-in, its pages, and the list of applications."""

    host: Annotated[Text, AfterValidator(_authority)]


def sign_in_mistakes(config: Config) -> Iterator[Mistake]:
    """Yield the mistakes of `sign_in`, and of the routes that lead to it."""
    for name, issuer in config.identity.issuers.items():
        place: Location = ("identity", "issuers", name)
        if issuer.login is not None:
            yield from login_mistakes(issuer.login, (*place, "login"))
        elif issuer.bearer is None and issuer.kind == "oidc":
            yield Mistake(place, "must have bearer, for its access tokens, login, where people sign in, or both")
        if issuer.login is not None and issuer.bearer is not None and issuer.login.client_id in issuer.bearer.audiences:
            rule = "is the login's client_id too, as in ID tokens: of these only access tokens count that say at+jwt"
            yield Mistake((*place, "bearer", "audiences"), rule, "warning")
    wanting = [index for index, route in enumerate(config.routes) if route.authenticate.sign_in]
    for index in wanting:
        yield from _route(config, config.routes[index], ("routes", index, "authenticate", "sign_in"))
    if config.sign_in is None:
        return
    host = config.sign_in.host.partition(":")[0]
    if not any(issuer.login is not None for issuer in config.identity.issuers.values()):
        yield Mistake(("sign_in",), "needs an issuer with login, at which people sign in")
    elif not wanting:
        yield Mistake(("sign_in",), "no route has authenticate.sign_in", "warning")
    for index, route in enumerate(config.routes):
        if host in route.host:
            yield Mistake(("routes", index, "host"), f"{host} is the sign-in's host, and has its pages alone")


def _route(config: Config, route: Route, at: Location) -> Iterator[Mistake]:
    if config.sign_in is None:
        yield Mistake(at, "needs sign_in.host, where people are sent to")
    if "*" in route.host:
        yield Mistake(at, "must not stand on a route for any host: whoever picks the host would be signed in to")
    if route.redirect is not None:
        yield Mistake(at, "must not stand beside redirect, which asks nobody who they are")
    known = config.identity.issuers
    named = route.authenticate.issuers if route.authenticate.issuers is not None else tuple(known)
    if config.sign_in is not None and not any(name in known and known[name].login is not None for name in named):
        yield Mistake(at, "needs an issuer of the route that has login")
