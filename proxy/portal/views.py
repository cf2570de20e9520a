"""Which page answers what: between the rooms that decide and `pages`, which know values alone.

A person's browser is shown a page; whoever else comes by (a program, a provider) gets the problem document that every
refusal of the proxy is.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import Refused
from proxy.http.respond import Answer, refusal
from proxy.identity.sessions.session import Session
from proxy.portal.pages import App, Pages, Visit, visit_of
from proxy.portal.request import PortalRequest, Stopped, Told, read_parameters
from proxy.portal.returning import authority_of

Link = tuple[str, str]  # what it is called, and where it leads


class Views:
    """The pages of one sign-in host, each with what the record says of it."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def choose(self, links: Sequence[Link], application: str, request: PortalRequest) -> Told:
        """Ask with which provider to sign in."""
        return _told(self._pages.choose(_visit(request), links, application=application))

    def applications(self, request: PortalRequest, session: Session, apps: Sequence[App], token: str) -> Told:
        """Show what somebody may open, searched for `?q=`."""
        query = read_parameters(request.target.query or b"").get("q", "")
        return _told(self._pages.applications(_visit(request), apps, session, token, query=query))

    def who(
        self, request: PortalRequest, session: Session, token: str, provider: str, programs: Sequence[str] = ()
    ) -> Told:
        """Show somebody what is known of them."""
        device = request.peer.id if request.peer is not None else ""
        return _told(
            self._pages.who(_visit(request), session, token, provider=provider, device=device, programs=programs)
        )

    def refused(
        self, refused: Refused, request: PortalRequest, session: Session, *, application: str, another: str
    ) -> Told:
        """Tell somebody whom policy refused."""
        who = session.email or session.subject
        page = self._pages.refused(_visit(request), refused, application=application, who=who, another=another)
        return _stopped(page, refused)

    def signed_out(self, request: PortalRequest, provider: Link | None) -> Told:
        """Say that the session has ended."""
        return _told(self._pages.signed_out(_visit(request), provider))

    def program(self, request: PortalRequest, session: Session, application: str, token: str, listens: str) -> Told:
        """Ask somebody whether a program on their computer may act for them."""
        place = authority_of(request.target.host, request.target.port)
        values = {"application": application, "place": place, "listens": listens}
        return _told(self._pages.program(_visit(request), session, token, **values))

    def program_may(self, request: PortalRequest) -> Told:
        """Send somebody back to the program that they have let act for them."""
        return _told(self._pages.program_may(_visit(request)))

    def stopped(self, refused: Refused, request: PortalRequest) -> Told:
        """Tell whoever asked why this did not go on."""
        accept = b", ".join(value for name, value in request.headers if name == b"accept")
        if b"text/html" not in accept:
            answer = refusal(refused, request_id=request.request_id, accept=b"")
        else:
            again = refused.again if isinstance(refused, Stopped) else ""
            answer = self._pages.wrong(_visit(request), refused, again=again)
        return _stopped(answer, refused)

    def asset(self, name: str) -> Told | None:
        """Return a file that pages load, or None where there is no such file."""
        answer = self._pages.asset(name)
        return None if answer is None else _told(answer)


def _visit(request: PortalRequest) -> Visit:
    return visit_of(request.headers, request.request_id, request.now)


def _told(answer: Answer, code: str = "", detail: str = "") -> Told:
    return Told(answer.status, answer.reason, answer.headers, answer.body, code, detail)


def _stopped(answer: Answer, refused: Refused) -> Told:
    fields = refused.fields if isinstance(refused, Stopped) else ()
    return _told(answer, refused.row.code, refused.detail).adding(*fields)
