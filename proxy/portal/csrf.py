"""Forms: a form of ours is taken from the page that we gave to this very session, and from nowhere else.

Two locks, for either may fail: a token that is sealed for one session and one form, and what the browser itself says
of where a request comes from (Fetch Metadata, Origin).
"""

from __future__ import annotations

from proxy.errors import FORM_REFUSED
from proxy.identity.sealed import Keyring, SealBroken
from proxy.identity.sessions.session import Session
from proxy.portal.request import PortalRequest, Stopped, read_parameters

_LONGEST = 1024
_CONTENT_TYPE = b"application/x-www-form-urlencoded"


class Forms:
    """Tokens of forms.

    Args:
        keyring: seals them.
        origin: the one that forms are shown and sent at.
    """

    def __init__(self, keyring: Keyring, origin: str) -> None:
        self._keyring = keyring
        self._origin = origin.encode("ascii")

    def token(self, session: Session, form: str) -> str:
        """Return what the hidden field `csrf` of a form holds; good while the session is."""
        return self._keyring.seal(_purpose(form), session.id.encode("ascii"), expires=session.expires_at)

    def read(self, request: PortalRequest, session: Session, form: str) -> dict[str, str]:
        """Return the fields of a form that was sent from a page of ours.

        Raises:
            Refused: FORM_REFUSED; or TARGET_REFUSED, a field is there twice.
        """
        self._require_own_page(request)
        fields = read_form(request)
        try:
            text = fields.get("csrf", "")[:_LONGEST]
            named = self._keyring.open(_purpose(form), text if text.isascii() else "", request.now)
        except SealBroken:
            raise Stopped(FORM_REFUSED, "a form must hold the token that it was shown with") from None
        if named != session.id.encode("ascii"):
            raise Stopped(FORM_REFUSED, "a form must be of the session that it was shown to")
        return fields

    def _require_own_page(self, request: PortalRequest) -> None:
        """Refuse a form that the browser does not say was sent from this origin.

        Where Sec-Fetch-Site is there it decides, for a page without a referrer sends `Origin: null` to its own origin.
        """
        site, origin = request.value(b"sec-fetch-site"), request.value(b"origin")
        if not (site == b"same-origin" or (not site and origin == self._origin)):
            raise Stopped(FORM_REFUSED, "a form must be sent from a page of this host")


def read_form(request: PortalRequest) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        Refused: FORM_REFUSED, it is no form; or TARGET_REFUSED, a field is there twice.
    """
    if request.value(b"content-type").partition(b";")[0].strip().lower() != _CONTENT_TYPE:
        raise Stopped(FORM_REFUSED, "a form must be of application/x-www-form-urlencoded")
    return dict(read_parameters(request.body))


def _purpose(form: str) -> str:
    return f"form {form}"
