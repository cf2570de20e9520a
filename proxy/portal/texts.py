"""Every word of the pages, in each language, a row each; and how much of a refusal is known in that language.

Texts are plain: what stands in braces is put in as it is, and the page escapes the whole.
"""

from __future__ import annotations

from typing import Final

from proxy.portal.language import ENGLISH, LANGUAGES

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    # English, then German
    "skip": ("Skip to the content", "Zum Inhalt springen"),
    "help": ("Need help?", "Brauchen Sie Hilfe?"),
    "protected": ("Access is checked on every request.", "Der Zugriff wird bei jeder Anfrage geprüft."),
    "reference": ("Reference", "Referenz"),
    "code": ("Code", "Code"),
    "time": ("Time", "Zeit"),
    "navigation": ("Pages", "Seiten"),
    "my_applications": ("My applications", "Meine Anwendungen"),
    "my_account": ("My account", "Mein Konto"),
    "sign_out": ("Sign out", "Abmelden"),
    "try_again": ("Try again", "Noch einmal versuchen"),
    # Signing in.
    "choose_title": ("Sign in", "Anmelden"),
    "choose_to": ("to open {application}", "um {application} zu öffnen"),
    "choose_intro": ("Choose how you want to sign in.", "Wählen Sie, womit Sie sich anmelden möchten."),
    "choose_with": ("Continue with {provider}", "Weiter mit {provider}"),
    "choose_list": ("Ways to sign in", "Möglichkeiten der Anmeldung"),
    # Applications.
    "hello": ("Hello, {name}", "Guten Tag, {name}"),
    "applications_intro": ("Everything here is open to you right now.", "Alles hier steht Ihnen gerade offen."),
    "search": ("Search applications", "Anwendungen suchen"),
    "search_button": ("Search", "Suchen"),
    "found": ("{count} of {total} applications", "{count} von {total} Anwendungen"),
    "show_all": ("Show all", "Alle anzeigen"),
    "none_found": ("Nothing matches “{query}”", "Nichts passt zu „{query}“"),
    "none_found_hint": ("Try fewer or other letters.", "Versuchen Sie es mit weniger oder anderen Buchstaben."),
    "none": ("No applications yet", "Noch keine Anwendungen"),
    "none_hint": (
        "Nothing is open to you at the moment. What you may open depends on who you are, on your device and on where "
        "you are.",
        "Im Moment steht Ihnen nichts offen. Was Sie öffnen dürfen, hängt davon ab, wer Sie sind, von Ihrem Gerät und "
        "von Ihrem Ort.",
    ),
    # Who am I.
    "who_title": ("My account", "Mein Konto"),
    "who_intro": (
        "This is what applications and policy know about you.",
        "Das wissen Anwendungen und Regeln über Sie.",
    ),
    "identity": ("Identity", "Identität"),
    "name": ("Name", "Name"),
    "provider": ("Signed in with", "Angemeldet mit"),
    "subject": ("Subject", "Kennung"),
    "groups": ("Groups", "Gruppen"),
    "no_groups": ("You are in no group.", "Sie gehören zu keiner Gruppe."),
    "session": ("This session", "Diese Sitzung"),
    "signed_in": ("Signed in", "Angemeldet"),
    "last_seen": ("Last seen", "Zuletzt gesehen"),
    "ends": ("Ends", "Endet"),
    "methods": ("Proven by", "Nachgewiesen durch"),
    "acr": ("Assurance level", "Vertrauensniveau"),
    "session_id": ("Session ID", "Sitzungs-ID"),
    "device": ("Device and place", "Gerät und Ort"),
    "certificate": ("Device certificate", "Gerätezertifikat"),
    "no_certificate": ("None shown", "Keines vorgezeigt"),
    "browser": ("Browser", "Browser"),
    "address": ("Address", "Adresse"),
    "unknown": ("Unknown", "Unbekannt"),
    "leave": ("Sign out", "Abmelden"),
    "leave_here_hint": (
        "Ends this session: every application in this browser.",
        "Beendet diese Sitzung: alle Anwendungen in diesem Browser.",
    ),
    "leave_here": ("Sign out here", "Hier abmelden"),
    "leave_everywhere_hint": (
        "Ends all of your sessions, in every browser and on every device.",
        "Beendet alle Ihre Sitzungen, in jedem Browser und auf jedem Gerät.",
    ),
    "leave_everywhere": ("Sign out everywhere", "Überall abmelden"),
    # Refused.
    "refused_title": ("You can’t open {application}", "Kein Zugriff auf {application}"),
    "refused_here": ("You can’t open this page", "Kein Zugriff auf diese Seite"),
    "application": ("Application", "Anwendung"),
    "signed_in_as": ("Signed in as", "Angemeldet als"),
    "another": ("Sign in as somebody else", "Als jemand anderes anmelden"),
    "refused_mistake": ("Is this a mistake? Quote the reference and ask:", "Ein Irrtum? Nennen Sie die Referenz:"),
    "refused_mistake_anybody": (
        "Is this a mistake? Quote the reference to whoever runs this application.",
        "Ein Irrtum? Nennen Sie die Referenz, wenn Sie sich an die Verantwortlichen wenden.",
    ),
    # Signed out.
    "signed_out_title": ("You are signed out", "Sie sind abgemeldet"),
    "signed_out_text": (
        "Your session has ended in every application of this browser.",
        "Ihre Sitzung ist in allen Anwendungen dieses Browsers beendet.",
    ),
    "signed_out_provider": (
        "You may still be signed in with {provider}. On a shared computer, sign out there too.",
        "Bei {provider} sind Sie vielleicht noch angemeldet. An einem gemeinsam benutzten Rechner melden Sie sich "
        "auch dort ab.",
    ),
    "signed_out_there": ("Sign out of {provider}", "Bei {provider} abmelden"),
    "sign_in_again": ("Sign in again", "Wieder anmelden"),
    # A program on somebody's computer.
    "programs": ("Command line", "Kommandozeile"),
    "program_title": ("Let a program act as you?", "Darf ein Programm in Ihrem Namen handeln?"),
    "program_text": (
        "A program on this computer asks to use {application} as you.",
        "Ein Programm auf diesem Rechner möchte {application} in Ihrem Namen benutzen.",
    ),
    "program_host": ("Host", "Host"),
    "program_until": ("At the latest until", "Längstens bis"),
    "program_warning": (
        "Allow this only if you have just run “ztproxy login” yourself. Whoever runs the program can do there what you "
        "may do, until you sign out.",
        "Erlauben Sie das nur, wenn Sie gerade selbst „ztproxy login“ aufgerufen haben. Wer das Programm benutzt, kann "
        "dort tun, was Sie dürfen, bis Sie sich abmelden.",
    ),
    "program_allow": ("Allow", "Erlauben"),
    "program_deny": ("Don’t allow", "Nicht erlauben"),
    "program_may_title": ("Back to your terminal", "Zurück zum Terminal"),
    "program_may_text": (
        "The program that opened this page goes on by itself. You can close this tab.",
        "Das Programm, das diese Seite geöffnet hat, macht von selbst weiter. Sie können diesen Tab schließen.",
    ),
    # Something went wrong: by the catalogue's code, a title and how to go on.
    "wrong_title": ("Something went wrong", "Etwas ist schiefgegangen"),
    "wrong_hint": (
        "Try again in a moment. If it stays like this, quote the reference to whoever runs this.",
        "Versuchen Sie es gleich noch einmal. Bleibt es dabei, nennen Sie den Verantwortlichen die Referenz.",
    ),
    "sign_in_expired_title": ("This sign-in has expired", "Diese Anmeldung ist abgelaufen"),
    "sign_in_expired_hint": (
        "A sign-in must be finished within ten minutes, in the browser that began it. Nothing is lost: begin again, "
        "and you will get to where you wanted to go.",
        "Eine Anmeldung muss innerhalb von zehn Minuten abgeschlossen werden, und zwar in dem Browser, in dem sie "
        "begann. Nichts ist verloren: Beginnen Sie noch einmal, und Sie gelangen dorthin, wohin Sie wollten.",
    ),
    "sign_in_refused_title": ("The sign-in was not accepted", "Die Anmeldung wurde nicht angenommen"),
    "sign_in_refused_hint": (
        "Begin again, perhaps with another account. If it stays like this, quote the reference.",
        "Beginnen Sie noch einmal, vielleicht mit einem anderen Konto. Bleibt es dabei, nennen Sie die Referenz.",
    ),
    "sign_in_repeated_title": ("Signing in doesn’t help here", "Anmelden hilft hier nicht weiter"),
    "sign_in_repeated_hint": (
        "We stopped so that you do not go round in circles. Allow cookies for this site, close other tabs that wait "
        "to sign in, then try again.",
        "Damit Sie sich nicht im Kreis drehen, haben wir angehalten. Erlauben Sie Cookies für diese Seite, schließen "
        "Sie andere Tabs, die auf eine Anmeldung warten, und versuchen Sie es noch einmal.",
    ),
    "sign_in_unavailable_title": (
        "Sign-in is unavailable for the moment",
        "Die Anmeldung ist im Moment nicht möglich",
    ),
    "sign_in_unavailable_hint": (
        "Your sign-in provider does not answer. Try again in a minute.",
        "Ihr Anmeldedienst antwortet nicht. Versuchen Sie es in einer Minute noch einmal.",
    ),
    "sessions_unavailable_title": (
        "Sign-in is unavailable for the moment",
        "Die Anmeldung ist im Moment nicht möglich",
    ),
    "sessions_unavailable_hint": (
        "Your session is not lost; it cannot be checked right now. Try again in a minute.",
        "Ihre Sitzung ist nicht verloren, sie kann nur gerade nicht geprüft werden. Versuchen Sie es in einer Minute "
        "noch einmal.",
    ),
    "form_refused_title": ("This form is no longer valid", "Dieses Formular gilt nicht mehr"),
    "form_refused_hint": (
        "Open the page again and send the form from there.",
        "Öffnen Sie die Seite noch einmal und senden Sie das Formular von dort.",
    ),
    "step_up_required_title": ("Please sign in once more", "Bitte melden Sie sich noch einmal an"),
    "step_up_required_hint": (
        "What you want to do asks for a fresher or stronger sign-in.",
        "Was Sie tun möchten, verlangt eine neuere oder stärkere Anmeldung.",
    ),
    "route_not_found_title": ("There is nothing here", "Hier gibt es nichts"),
    "route_not_found_hint": (
        "Check the address, or start from your applications.",
        "Prüfen Sie die Adresse, oder beginnen Sie bei Ihren Anwendungen.",
    ),
    "target_refused_title": ("This address is not accepted", "Diese Adresse wird nicht angenommen"),
    "target_refused_hint": (
        "The link that brought you here is broken. Start from your applications.",
        "Der Link, der Sie hierher geführt hat, ist fehlerhaft. Beginnen Sie bei Ihren Anwendungen.",
    ),
    "overloaded_title": ("Too many requests at once", "Zu viele Anfragen auf einmal"),
    "overloaded_hint": ("Try again in a moment.", "Versuchen Sie es gleich noch einmal."),
    "upstream_title": ("The application does not answer", "Die Anwendung antwortet nicht"),
    "upstream_hint": (
        "You are signed in and may open it; the application itself has a problem. Try again in a moment.",
        "Sie sind angemeldet und dürfen sie öffnen; die Anwendung selbst hat ein Problem. Versuchen Sie es gleich "
        "noch einmal.",
    ),
    "denied_text": ("You are not permitted to do this.", "Dazu sind Sie nicht berechtigt."),
}

# What the rooms of signing in say to a person, in English; and the same in German.
_SENTENCES: Final[dict[str, str]] = {
    "You have signed in again, but this still asks for a fresher or stronger sign-in than your provider gives.": (
        "Sie haben sich noch einmal angemeldet, aber hierfür ist eine neuere oder stärkere Anmeldung nötig, als Ihr "
        "Anmeldedienst sie bietet."
    ),
    "Your organisation's sign-in did not ask you to prove again who you are, which this needs.": (
        "Die Anmeldung Ihrer Organisation hat Sie nicht noch einmal nachweisen lassen, wer Sie sind. Hierfür ist das "
        "nötig."
    ),
    "Your organisation's sign-in was not as strong as this needs.": (
        "Die Anmeldung Ihrer Organisation war nicht so stark, wie es hierfür nötig ist."
    ),
    "You are in more groups than your organisation's sign-in passes on, so what you may open cannot be told. "
    "Its administrator can have only the groups of this application passed on.": (
        "Sie gehören zu mehr Gruppen, als die Anmeldung Ihrer Organisation weitergibt. Deshalb lässt sich nicht sagen, "
        "was Sie öffnen dürfen. Ihre Administration kann dafür sorgen, dass nur die Gruppen dieser Anwendung "
        "weitergegeben werden."
    ),
}

# How somebody proved who they are (RFC 8176 section 2); other values are shown as they are.
_METHODS: Final[dict[str, tuple[str, str]]] = {
    "pwd": ("Password", "Passwort"),
    "otp": ("One-time code", "Einmalcode"),
    "mfa": ("Several factors", "Mehrere Faktoren"),
    "hwk": ("Security key", "Sicherheitsschlüssel"),
    "swk": ("Passkey", "Passkey"),
    "fpt": ("Fingerprint", "Fingerabdruck"),
    "face": ("Face", "Gesicht"),
    "pin": ("PIN", "PIN"),
    "sms": ("Text message", "SMS"),
    "sc": ("Smart card", "Chipkarte"),
    "user": ("Presence", "Anwesenheit"),
}


def text(key: str, language: str, **values: object) -> str:
    """Return a text with its values put in. Raise KeyError where there is no such text, or a value is missing."""
    template = _TEXTS[key][LANGUAGES.index(language)]
    return template.format(**values) if values else template


def has_text(key: str) -> bool:
    """Tell whether there is such a text."""
    return key in _TEXTS


def method_text(value: str, language: str) -> str:
    """Return how people call a value of `amr`."""
    known = _METHODS.get(value)
    return value if known is None else known[LANGUAGES.index(language)]


def sentence_text(sentence: str, language: str) -> tuple[str, str]:
    """Return what another room says, in a language if it is known there, and the language that it is in then."""
    known = _SENTENCES.get(sentence) if language != ENGLISH else None
    return (sentence, ENGLISH) if known is None else (known, language)
