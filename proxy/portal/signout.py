"""Signing out: of this session or of all that the person has, and of the provider's as well.

A link alone signs nobody out (any page could hold it): it leads to the page with the form. The handles of all hosts end
with the session; a browser that shows one later is told to forget it.
"""

from __future__ import annotations

from proxy.http.cookies import HANDLE, clear_cookie
from proxy.identity.sealed import SealBroken
from proxy.identity.sessions.session import Session
from proxy.portal.csrf import Forms
from proxy.portal.holder import ID_TOKEN, Holder
from proxy.portal.request import PREFIX, PortalRequest, Told, redirect
from proxy.portal.site import Site

PATH = PREFIX + "sign-out"
SIGNED_OUT = PREFIX + "signed-out"
FORM = "sign-out"
EVERYWHERE = "everywhere"


class SignOut:
    """Signing out at the sign-in host."""

    def __init__(self, site: Site, holder: Holder, forms: Forms) -> None:
        self._site = site
        self._holder = holder
        self._forms = forms

    async def answer(self, request: PortalRequest) -> Told:
        """Answer `/.ztproxy/sign-out`: GET leads to the form, POST is the form.

        Raises:
            Refused: METHOD_REFUSED, FORM_REFUSED.
            StoreUnavailable: the session could not be ended.
        """
        request.require_method(b"GET", b"HEAD", b"POST")
        session = await self._holder.session(request)
        if session is None:
            return redirect(self._site.origin + SIGNED_OUT, request.request_id, [clear_cookie(HANDLE)])
        if request.method != b"POST":
            return redirect(f"{self._site.origin}{PREFIX}who", request.request_id)
        fields = self._forms.read(request, session, FORM)
        await self._end(session, everywhere=fields.get("where") == EVERYWHERE)
        told = self._site.views.signed_out(request, await self._way_out(session))
        return told.adding(clear_cookie(HANDLE))

    async def _end(self, session: Session, *, everywhere: bool) -> None:
        if everywhere:
            reason = "signed out everywhere"
            await self._site.store.end_matching(session.issuer_url, session.subject, None, reason)
        await self._site.store.end(session.id, "signed out")

    async def _way_out(self, session: Session) -> tuple[str, str] | None:
        """Return the provider's title, and the address at which it ends its own session, if it has one.

        OpenID Connect RP-Initiated Logout 1.0 section 2.
        """
        provider = self._site.providers.get(session.issuer)
        if provider is None:
            return None
        try:
            hint = (
                self._site.keyring.open(ID_TOKEN, session.id_token, session.created_at).decode()
                if session.id_token
                else ""
            )
        except SealBroken:
            hint = ""  # its key is gone; the provider asks the person instead
        url = await provider.end_session_url(
            id_token_hint=hint, post_logout_redirect_uri=self._site.origin + SIGNED_OUT
        )
        return None if url is None else (provider.title, url)
