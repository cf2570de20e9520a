"""The pages as values: what they say, to whom, in which language; and that nothing in them can run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest

from proxy import errors
from proxy.errors import CATALOGUE, Refused
from proxy.http.respond import Answer
from proxy.identity.login.id_token import _STALE, _WEAK
from proxy.identity.login.person import _OVERAGE
from proxy.portal import texts
from proxy.portal.entrance import _STEP_UP_SENTENCE
from proxy.portal.pages import App, Pages, Visit, visit_of
from proxy.portal.picture import LARGEST, read_picture
from tests.portal.shown import ICON, LOGO, NOW, SESSION, every_page, pages

ENGLISH = Visit("en", "req-7c1e0d5b9a3f", NOW)
GERMAN = Visit("de", "req-7c1e0d5b9a3f", NOW)
HOSTILE = "<script>alert(1)</script>\"'"
ALL = every_page(ENGLISH) | {f"{name}, German": answer for name, answer in every_page(GERMAN).items()}
every_answer = pytest.mark.parametrize("answer", ALL.values(), ids=ALL)


class Outline(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(answer.body.decode())
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self) -> list[str | None]:
        return [attributes["href"] for attributes in self.all("a")]


def field(answer: Answer, name: bytes) -> bytes:
    (value,) = [value for other, value in answer.headers if other == name]
    return value


@every_answer
def test_nothing_in_a_page_can_run(answer: Answer) -> None:
    outline = Outline(answer)
    assert {"script", "style", "iframe", "object", "embed", "base"} & {tag for tag, _ in outline.elements} == set()
    names = {name for _, attributes in outline.elements for name in attributes}
    assert [name for name in names if name.startswith("on") or name == "style"] == []
    assert all(not (link or "").startswith("javascript:") for link in outline.links())
    policy = field(answer, b"content-security-policy")
    assert policy.startswith(b"default-src 'none'; ")
    assert b"frame-ancestors 'none'" in policy
    assert b"form-action 'self'" in policy
    assert b"unsafe" not in policy
    assert b"script" not in policy


@every_answer
def test_a_page_is_kept_by_nobody_and_framed_by_nobody(answer: Answer) -> None:
    assert field(answer, b"cache-control") == b"no-store"
    assert field(answer, b"x-frame-options") == b"DENY"
    assert field(answer, b"x-content-type-options") == b"nosniff"
    assert field(answer, b"x-request-id") == b"req-7c1e0d5b9a3f"


@every_answer
def test_a_page_says_its_language_and_has_one_heading(answer: Answer) -> None:
    outline = Outline(answer)
    (html,) = outline.all("html")
    assert (html["lang"] or "").encode() == field(answer, b"content-language")
    assert len(outline.all("h1")) == len(outline.all("main")) == len(outline.all("title")) == 1


@every_answer
def test_what_a_page_loads_is_there(answer: Answer) -> None:
    outline = Outline(answer)
    loaded = [link["href"] for link in outline.all("link")] + [image["src"] for image in outline.all("img")]
    for path in loaded:
        assert path is not None
        assert path.startswith("/.ztproxy/static/")
        assert pages().asset(path.removeprefix("/.ztproxy/static/")) is not None


@every_answer
def test_each_form_that_changes_something_carries_its_token(answer: Answer) -> None:
    outline = Outline(answer)
    posts = [form for form in outline.all("form") if form.get("method") == "post"]
    tokens = [each for each in outline.all("input") if each.get("name") == "csrf"]
    assert len(tokens) == len(posts)
    assert {form.get("action", "") for form in posts} <= {"", "/.ztproxy/sign-out"}  # "": to its own address
    assert {token["value"] for token in tokens} <= {"the-token"}


def test_every_value_is_escaped() -> None:
    hostile = Pages("https://access.example.org", brand=HOSTILE, contact=HOSTILE)
    session = SESSION.__class__(
        id="0" * 32, issuer="corp", issuer_url="", subject=HOSTILE, authenticated_at=NOW, created_at=NOW, seen_at=NOW,
        expires_at=NOW, email=HOSTILE, groups=(HOSTILE,), claims={"name": HOSTILE}, amr=(HOSTILE,), acr=HOSTILE,
        source=HOSTILE, user_agent=HOSTILE,
    )  # fmt: skip
    refused = Refused(errors.POLICY_DENIED, public_reason=HOSTILE)
    answers = [
        hostile.choose(ENGLISH, [(HOSTILE, "/")], application=HOSTILE),
        hostile.applications(ENGLISH, [App(HOSTILE, "https://a.example/", HOSTILE)], session, HOSTILE),
        hostile.applications(ENGLISH, [App("Wiki", "https://a.example/")], session, HOSTILE, query=HOSTILE),
        hostile.who(ENGLISH, session, HOSTILE, provider=HOSTILE, device=HOSTILE),
        hostile.refused(ENGLISH, refused, application=HOSTILE, who=HOSTILE, another="/"),
        hostile.wrong(ENGLISH, refused),
        hostile.signed_out(ENGLISH, (HOSTILE, "/")),
    ]
    for answer in answers:
        assert b"<script" not in answer.body
        assert b"&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;" in answer.body


def test_the_choice_names_each_provider_and_where_it_leads() -> None:
    outline = Outline(pages().choose(ENGLISH, [("Corp", "/one?to=x&provider=a"), ("Partner", "/two")]))
    assert "/one?to=x&provider=a" in outline.links()
    assert "Continue with Corp" in outline.text
    assert "Continue with Partner" in outline.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Grafana", "Payroll", "Wiki"]),
        ("WIKI", ["Wiki"]),
        ("  dash   alert ", ["Grafana"]),
        ("pay.example.org", ["Payroll"]),
        ("nothing of this", []),
    ],
)
def test_a_search_finds_what_has_every_word(query: str, found: list[str]) -> None:
    apps = [
        App("Wiki", "https://wiki.example.org/", "How we work"),
        App("Payroll", "https://pay.example.org/"),
        App("Grafana", "https://metrics.example.org/", "Dashboards and alerts"),
    ]
    outline = Outline(pages().applications(ENGLISH, apps, SESSION, "t", query=query))
    titles = {f"{app.url}": app.title for app in apps}
    assert [titles[link] for link in outline.links() if link in titles] == found


def test_an_icon_is_shown_where_there_is_one_and_else_a_letter() -> None:
    with_icon = Outline(pages().applications(ENGLISH, [App("Wiki", "https://w.example/", icon=ICON)], SESSION, "t"))
    assert f"/.ztproxy/static/{ICON.name}" in [image["src"] for image in with_icon.all("img")]
    without = Outline(pages().applications(ENGLISH, [App("Wiki", "https://w.example/")], SESSION, "t"))
    assert len(without.all("img")) == 1


def test_who_tells_what_is_known_and_offers_both_ways_out() -> None:
    outline = Outline(pages().who(ENGLISH, SESSION, "the-token", provider="Corp", device="mdm:C02XK0"))
    for value in ("Ana Lindqvist", "ana@example.org", "engineering", "mdm:C02XK0", "Password", "Firefox, Linux",
                  "in 7 hours", "2001:db8::17", SESSION.id):  # fmt: skip
        assert value in outline.text
    ways = [each["value"] for each in outline.all("input") if each.get("name") == "where"]
    assert ways == ["here", "here", "everywhere"]


def test_a_refused_person_is_told_what_as_whom_why_and_what_to_quote() -> None:
    refused = Refused(errors.POLICY_DENIED, "detail for the log", public_reason="On managed devices only.")
    answer = pages().refused(ENGLISH, refused, application="Payroll", who="ana@example.org", another="/another")
    outline = Outline(answer)
    assert answer.status == 403
    for value in ("You can’t open Payroll", "ana@example.org", "On managed devices only.", "req-7c1e0d5b9a3f",
                  "policy_denied", "help@example.org"):  # fmt: skip
        assert value in outline.text
    assert "/another" in outline.links()
    assert "mailto:help@example.org?subject=req-7c1e0d5b9a3f" in outline.links()
    assert "detail for the log" not in answer.body.decode()
    assert b'details="policy_denied"' in field(answer, b"proxy-status")


def test_policy_cannot_replace_a_field_of_a_page() -> None:
    own = ((b"content-security-policy", b"default-src *"), (b"x-tried", b"yes"))
    answer = pages().refused(
        ENGLISH, Refused(errors.POLICY_DENIED, headers=own), application="", who="", another="/another"
    )
    assert b"*" not in field(answer, b"content-security-policy")
    assert field(answer, b"x-tried") == b"yes"


def test_an_expired_sign_in_says_how_to_go_on() -> None:
    outline = Outline(pages().wrong(ENGLISH, Refused(errors.SIGN_IN_EXPIRED), again="https://wiki.example.org/page"))
    assert "begin again" in outline.text
    assert "https://wiki.example.org/page" in outline.links()


@pytest.mark.parametrize("code", sorted(CATALOGUE))
@pytest.mark.parametrize("visit", [ENGLISH, GERMAN], ids=["en", "de"])
def test_every_row_of_the_catalogue_has_a_page(code: str, visit: Visit) -> None:
    row = CATALOGUE[code]
    answer = pages().wrong(visit, Refused(row, "the detail"))
    assert answer.status == row.status
    assert code in Outline(answer).text
    assert "the detail" not in Outline(answer).text
    names = [name for name, _ in answer.headers]
    assert (b"www-authenticate" in names) == (row.status == 401)
    assert (b"retry-after" in names) == (row.retry_after is not None)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("sentence", [_STEP_UP_SENTENCE, _OVERAGE, _STALE, _WEAK])
def test_what_signing_in_says_to_a_person_is_said_in_their_language(sentence: str) -> None:
    refused = Refused(errors.SIGN_IN_REFUSED, "the detail", public_reason=sentence)
    english, german = (Outline(pages().wrong(visit, refused)) for visit in (ENGLISH, GERMAN))
    assert sentence in english.text
    assert sentence not in german.text
    assert texts._SENTENCES[sentence] in german.text
    assert [attributes.get("lang") for attributes in german.all("p")].count("en") == 0


def test_a_sentence_that_nobody_translated_says_its_language() -> None:
    answer = pages().wrong(GERMAN, Refused(errors.SIGN_IN_REFUSED, "the detail", public_reason="No."))
    assert {"class": "lead", "lang": "en"} in Outline(answer).all("p")


def test_the_languages_put_the_same_values_into_a_text() -> None:
    for key, versions in texts._TEXTS.items():
        named = [{name for _, name, _, _ in Formatter().parse(version) if name} for version in versions]
        assert named[0] == named[1], key


def test_every_text_is_used() -> None:
    folder = Path(texts.__file__).parent
    files = [*folder.glob("templates/*.html"), folder / "pages.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    composed = re.compile(r".*_(?:title|hint)|leave_(?:here|everywhere)")
    unused = [key for key in texts._TEXTS if f'"{key}"' not in source and f"'{key}'" not in source]
    assert [key for key in unused if not composed.fullmatch(key)] == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"), ("de", "de"), ("de-AT,de;q=0.9,en;q=0.8", "de"), ("en-GB, de;q=0.9", "en"), ("fr,de;q=0.5", "de"),
        ("fr", "en"), ("*", "en"), ("de;q=0", "en"), ("en;q=0.2, de;q=0.3", "de"), ("de;q=9", "en"), ("\xff", "en"),
        ("x," * 30 + "de", "en"), ("DE", "de"),
    ],
)  # fmt: skip
def test_the_browser_chooses_the_language(accepted: str, language: str) -> None:
    assert visit_of([(b"accept-language", accepted.encode("latin-1"))], "r", NOW).language == language


def test_an_asset_is_kept_for_good_and_runs_nothing() -> None:
    answer = pages().asset(LOGO.name)
    assert answer is not None
    assert field(answer, b"content-type") == b"image/svg+xml"
    assert b"immutable" in field(answer, b"cache-control")
    assert b"default-src 'none'" in field(answer, b"content-security-policy")
    assert b"sandbox" in field(answer, b"content-security-policy")


@pytest.mark.parametrize("name", ["", "portal.css", "../pages.py", "mark.svg", "picture-0.svg"])
def test_there_is_no_other_asset(name: str) -> None:
    assert pages().asset(name) is None


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (SVG, "image/svg+xml"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- by hand -->\n' + SVG, "image/svg+xml"),
    ],
)
def test_a_picture_is_known_by_its_content(tmp_path: Path, body: bytes, kind: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(body)
    assert read_picture(path).content_type == kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GIF89a",
        b"<html><svg/></html>",
        b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG,
        b"<svgx/>",
        b"\x89PNG\r\n\x1a\n" + b"0" * LARGEST,
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(body)
    with pytest.raises(ValueError, match="a picture must"):
        read_picture(path)


def test_an_absent_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: no such file"):
        read_picture(tmp_path / "absent.svg")
