"""Every page as somebody may see it, and the person who does."""

from __future__ import annotations

from functools import cache

from proxy import errors
from proxy.errors import Refused
from proxy.http.respond import Answer
from proxy.identity.sessions.session import Session
from proxy.portal.pages import App, Pages, Visit
from proxy.portal.picture import Picture

NOW = 1_795_548_000.0
ICON = Picture("picture-1.svg", "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
LOGO = Picture("picture-2.svg", "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"/>')
SESSION = Session(
    id="3f9c51a07be84d2290c1e4d7a6b85f10",
    issuer="corp",
    issuer_url="https://idp.example.org",
    subject="00u1a2b3c4d5",
    authenticated_at=NOW - 4000,
    created_at=NOW - 4000,
    seen_at=NOW - 20,
    expires_at=NOW + 7.5 * 3600,
    email="ana@example.org",
    groups=("engineering", "platform-oncall"),
    claims={"name": "Ana Lindqvist"},
    amr=("pwd", "hwk"),
    acr="urn:example:gold",
    source="2001:db8::17",
    user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
APPS = (
    App("Wiki", "https://wiki.example.org/", "How we work, and why"),
    App("Grafana", "https://metrics.example.org/", "Dashboards and alerts", ICON),
    App("Customer relationship management", "https://crm.example.org/", "Every account, contact and conversation"),
    *(App(f"{letter} application", f"https://{letter.lower()}.example.org/") for letter in "ABCDEFGH"),
)


@cache
def pages() -> Pages:
    """Return the pages of a brand that has everything configured."""
    contact = "IT help desk, help@example.org, or extension 4242"
    return Pages("https://access.example.org", brand="Example Corp", contact=contact, logo=LOGO, icons=[ICON])


def every_page(visit: Visit) -> dict[str, Answer]:
    """Return each page in each of its states."""
    shown = pages()
    denied = Refused(errors.POLICY_DENIED, public_reason="Payroll opens on managed devices only.")
    who, another = "ana@example.org", "/.ztproxy/sign-in?another=1&return=/"
    return {
        "choose": shown.choose(visit, [("Example Corp", "/a"), ("Partners", "/b")], application="Wiki"),
        "applications": shown.applications(visit, APPS, SESSION, "the-token"),
        "applications found": shown.applications(visit, APPS, SESSION, "the-token", query="wiki"),
        "applications not found": shown.applications(visit, APPS, SESSION, "the-token", query="nothing"),
        "no applications": shown.applications(visit, (), SESSION, "the-token"),
        "who": shown.who(
            visit,
            SESSION,
            "the-token",
            provider="Example Corp",
            device="mdm:C02XK0AAJGH5",
            programs=["git.example.org:8443", "wiki.example.org"],
        ),
        "refused": shown.refused(visit, denied, application="Payroll", who=who, another=another),
        "refused without a reason": shown.refused(
            visit, Refused(errors.POLICY_DENIED), application="Payroll", who=who, another=another
        ),
        "expired": shown.wrong(visit, Refused(errors.SIGN_IN_EXPIRED), again="https://wiki.example.org/"),
        "wrong": shown.wrong(visit, Refused(errors.INTERNAL_ERROR)),
        "wrong with a sentence": shown.wrong(visit, Refused(errors.METHOD_REFUSED)),
        "program": shown.program(
            visit, SESSION, "the-token", application="Wiki", place="wiki.example.org", listens="http://127.0.0.1:4711"
        ),
        "program may": shown.program_may(visit),
        "signed out": shown.signed_out(visit),
        "signed out with a provider": shown.signed_out(visit, ("Example Corp", "https://idp.example.org/end")),
    }
