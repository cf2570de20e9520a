"""The pages that a person sees, as answers: values in, HTML out. It knows no socket, clock, store or provider.

Nothing in a page runs: there is no script, and the policy that comes with it forbids any. Every value is escaped
(autoescape is always on), and a name that a template lacks is an error and no empty text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

from jinja2 import DictLoader, Environment, StrictUndefined, Template

from proxy.errors import INTERNAL_ERROR, Refused
from proxy.http.message import Headers
from proxy.http.respond import Answer, refusal_fields
from proxy.identity.sessions.session import Session
from proxy.portal.assets import Assets
from proxy.portal.browser import browser_of
from proxy.portal.contact import contact_of
from proxy.portal.language import language_of
from proxy.portal.moments import day_and_time, distance, machine_time
from proxy.portal.picture import Picture
from proxy.portal.request import PREFIX
from proxy.portal.texts import has_text, method_text, sentence_text, text

CSP: Final = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TILES: Final = 8  # colours of what has no icon; the stylesheet has as many
_QUERY_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Visit:
    """What every page needs of the request that it answers.

    Args:
        language: one of `language.LANGUAGES`.
        request_id: the reference to quote.
        now: POSIX seconds.
    """

    language: str
    request_id: str
    now: float


def visit_of(headers: Headers, request_id: str, now: float) -> Visit:
    """Return the visit of a request's header fields, whose names are lower-case."""
    accepted = b",".join(value for name, value in headers if name == b"accept-language")
    return Visit(language_of(accepted), request_id, now)


@dataclass(frozen=True, slots=True)
class App:
    """An application that somebody may open.

    Args:
        title: what people call it.
        url: where it is.
        description: a few words, or empty.
        icon: one of the pictures that the pages were made with, or None.
    """

    title: str
    url: str
    description: str = ""
    icon: Picture | None = None


class Pages:
    """The pages of one brand.

    Args:
        home: the sign-in host as an origin, where applications and account are.
        brand: the name in every title.
        contact: whom to ask: a line of text, in which an e-mail address or an https URL becomes a link; or empty.
        logo: instead of our mark, or None.
        icons: every icon that an `App` may have.
    """

    def __init__(
        self,
        home: str,
        *,
        brand: str = "ztproxy",
        contact: str = "",
        logo: Picture | None = None,
        icons: Iterable[Picture] = (),
    ) -> None:
        self._assets = Assets([*icons, *([logo] if logo is not None else [])])
        self._contact = contact_of(contact)
        self._templates = _templates()
        self._values = {
            "brand": brand,
            "home": home + PREFIX,
            "sign_out": PREFIX + "sign-out",
            "logo": self._assets.path("mark.svg") if logo is None else _path(logo),
            "own_mark": logo is None,
            "stylesheet": self._assets.path("portal.css"),
            "picture": _path,
            "place": lambda url: urlsplit(url).netloc,
            "tile": tile_of,
        }

    def asset(self, name: str) -> Answer | None:
        """Return the answer for a name below `static/`, or None where there is no such file."""
        return self._assets.answer(name)

    def choose(self, visit: Visit, providers: Sequence[tuple[str, str]], *, application: str = "") -> Answer:
        """Ask with which provider to sign in.

        Args:
            providers: title, and the address that signs in with it.
            application: what the person wants to open, or empty.
        """
        return self._page(visit, "choose.html", providers=providers, application=application)

    def applications(
        self, visit: Visit, apps: Sequence[App], session: Session, token: str, *, query: str = ""
    ) -> Answer:
        """Show what somebody may open.

        Args:
            apps: all of it; what does not match the query is left out here.
            session: who it is.
            token: for the field `csrf` of the form that signs out.
            query: what was searched for: every word must be in a title, a description or an address.
        """
        query = " ".join(query[:_QUERY_CHARACTERS].split())
        words = query.casefold().split()
        found = [app for app in apps if all(word in _searched(app) for word in words)]
        ordered = sorted(found, key=lambda app: app.title.casefold())
        return self._page(
            visit, "applications.html", apps=ordered, total=len(apps), query=query, person=_person(session), token=token
        )

    def who(
        self,
        visit: Visit,
        session: Session,
        token: str,
        *,
        provider: str,
        device: str = "",
        programs: Sequence[str] = (),
    ) -> Answer:
        """Show somebody what is known of them, and offer to sign out.

        Args:
            token: for the field `csrf` of the forms; they send `where` = `here` or `everywhere` as well.
            provider: the title of the provider that signed them in.
            device: id of the connection's peer, or empty.
            programs: hosts and ports at which programs act for them.
        """
        return self._page(
            visit,
            "who.html",
            session=session,
            person=_person(session),
            browser=browser_of(session.user_agent),
            methods=[method_text(value, visit.language) for value in session.amr],
            provider=provider,
            device=device or session.device,
            programs=programs,
            token=token,
        )

    def refused(self, visit: Visit, refused: Refused, *, application: str, who: str, another: str) -> Answer:
        """Tell somebody whom policy refused, and what they can do about it.

        Args:
            refused: with the policy's sentence, if it gave one.
            application: title of what they wanted to open.
            who: as whom they are signed in.
            another: address at which to sign in as somebody else.
        """
        own = refused.public_reason
        reason = own or text("denied_text", visit.language)
        page = self._page(
            visit, "refused.html", reason=reason, own=bool(own), application=application, who=who, another=another,
            code=refused.row.code,
        )  # fmt: skip
        return _refusal(page, refused)

    def wrong(self, visit: Visit, refused: Refused, *, again: str = "") -> Answer:
        """Tell somebody what went wrong, and how to go on.

        Args:
            again: address at which to begin anew; empty where there is none but the applications.
        """
        kind = _kind(refused)
        # Where a title says what the catalogue's sentence says, it stands alone.
        plain = kind == "wrong" and refused.row is not INTERNAL_ERROR
        said = refused.public_reason or (refused.row.public if plain else "")
        sentence, spoken = sentence_text(said, visit.language)
        page = self._page(
            visit, "wrong.html", kind=kind, sentence=sentence, again=again, code=refused.row.code,
            spoken=spoken, status=refused.status,
        )  # fmt: skip
        return _refusal(page, refused)

    def signed_out(self, visit: Visit, provider: tuple[str, str] | None = None) -> Answer:
        """Say that the session has ended.

        Args:
            provider: title, and the address at which it ends its own session; None where it has none.
        """
        return self._page(visit, "signed_out.html", provider=provider)

    def program(
        self, visit: Visit, session: Session, token: str, *, application: str, place: str, listens: str
    ) -> Answer:
        """Ask somebody whether a program on their computer may act for them.

        Args:
            token: for the field `csrf` of the form; it sends `answer` = `allow` or `deny` as well.
            application, place: its title, and host and port.
            listens: the origin at which the program waits; the form may lead there.
        """
        page = self._page(
            visit, "program.html", session=session, person=_person(session), token=token, application=application,
            host=place,
        )  # fmt: skip
        csp = CSP.replace(b"form-action 'self'", b"form-action 'self' " + listens.encode("ascii"))
        fields = [(name, csp if name == b"content-security-policy" else value) for name, value in page.headers]
        return Answer(page.status, page.reason, fields, page.body)

    def program_may(self, visit: Visit) -> Answer:
        """Send somebody back to the program that they have let act for them."""
        return self._page(visit, "program_may.html")

    def _page(self, visit: Visit, template: str, **values: object) -> Answer:
        language = visit.language
        html = self._templates[template].render(
            **self._values,
            t=partial(_text, language),
            language=language,
            request_id=visit.request_id,
            now=visit.now,
            contact=self._contact.about(visit.request_id),
            day_and_time=partial(day_and_time, language),
            distance=lambda at: distance(language, at, visit.now),
            machine_time=machine_time,
            **values,
        )
        return Answer(200, b"OK", _fields(visit), html.encode("utf-8", "replace"))


@cache
def _templates() -> Mapping[str, Template]:
    """Return every template, compiled: once a process, and not while somebody waits for the first page."""
    sources = {
        file.name: file.read_text(encoding="utf-8")
        for file in files("proxy.portal").joinpath("templates").iterdir()
        if file.name.endswith(".html")
    }
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return {name: environment.get_template(name) for name in sources}


def _fields(visit: Visit) -> Headers:
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-language", visit.language.encode("ascii")),
        (b"content-security-policy", CSP),
        (b"cross-origin-opener-policy", b"same-origin"),
        # Forms must say where they come from; other hosts are told nothing, for addresses hold sealed state.
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"cache-control", b"no-store"),
        (b"x-request-id", visit.request_id.encode("ascii")),
    ]


def _refusal(page: Answer, refused: Refused) -> Answer:
    status, reason, fields = refusal_fields(refused)
    own = {name for name, _ in page.headers}  # policy may add fields, and replaces none of the page's
    return Answer(status, reason, [*page.headers, *(field for field in fields if field[0] not in own)], page.body)


def _text(language: str, key: str, **values: object) -> str:
    return text(key, language, **values)


def _kind(refused: Refused) -> str:
    code = refused.row.code
    if has_text(f"{code}_title"):
        return code
    if code == "pool_exhausted":
        return "overloaded"
    return "upstream" if code.startswith("upstream_") else "wrong"


def _path(picture: Picture) -> str:
    return f"{PREFIX}static/{picture.name}"


def tile_of(title: str) -> str:
    """Return the class that colours what has no icon; of one title always the same."""
    return f"tile-{sum(title.encode()) % _TILES}"


def _searched(app: App) -> str:
    return f"{app.title} {app.description} {app.url}".casefold()


def _person(session: Session) -> Mapping[str, str]:
    """Return how to address somebody, and by what they are known."""
    claimed = session.claims.get("name")
    name = " ".join(claimed.split())[:_QUERY_CHARACTERS] if isinstance(claimed, str) else ""
    known = session.email or session.subject
    return {"name": name, "known": known, "shown": name or known}
