"""Programs on a person's own computer: how one of them comes to act for the person, on one application host.

    confirm   a page asks whoever has signed in there; the program gets a code at the address on which it waits
    token     the code becomes a token: one more handle of the person's session, good on this host alone
    revoke    a token is given back (RFC 7009)

The program is a native app of RFC 8252: it waits on a loopback address, and whatever else runs on that computer might
get the code in its place, so that the code is worth nothing without the program's verifier (PKCE, RFC 7636). Any page
can open ours, so that nothing is given out before a person has said yes on it. A token is never told to a log.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from secrets import compare_digest
from urllib.parse import urlencode

from proxy.errors import FORM_REFUSED, ROUTE_NOT_FOUND, SIGN_IN_EXPIRED, TARGET_REFUSED, TOKEN_INVALID, Refused
from proxy.http.cookies import is_handle
from proxy.identity.authenticate import challenge
from proxy.identity.sealed import SealBroken
from proxy.identity.sessions.session import (
    HandleRecord,
    Session,
    digest_of,
    host_of_program,
    is_program_token,
    new_program_token,
)
from proxy.portal.csrf import Forms, read_form
from proxy.portal.entrance import Entrance
from proxy.portal.holder import Holder
from proxy.portal.request import PortalRequest, Stopped, Told, redirect
from proxy.portal.returning import authority_of
from proxy.portal.site import Site
from proxy.portal.state import random_secret

CODE_SECONDS = 60
DONE = "command-line-done"
_PURPOSE = "command line"
# RFC 8252 section 7.3, as an address: a name could be another host. IPv6 would be no source of a page's policy.
_LOOPBACK = re.compile(r"(http://127\.0\.0\.1:([1-9][0-9]{0,4}))/[A-Za-z0-9._~/-]{0,64}", re.ASCII)
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_STATE = re.compile(r"[A-Za-z0-9._~-]{16,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a program asks for.

    Args:
        redirect_uri: where it waits for the answer, on a loopback address.
        origin: of that.
        challenge: of PKCE.
        state: what it knows the answer by.
    """

    redirect_uri: str
    origin: str
    challenge: str
    state: str

    def answer(self, **values: str) -> str:
        """Return the address that answers it."""
        return f"{self.redirect_uri}?{urlencode({**values, 'state': self.state})}"

    @property
    def form(self) -> str:
        """What its form is called, so that a page that was shown for one wish cannot grant another one."""
        return f"{_PURPOSE} {sha256(self.answer(challenge=self.challenge).encode()).hexdigest()}"


class CommandLine:
    """What application hosts say to programs."""

    def __init__(self, site: Site, holder: Holder, entrance: Entrance) -> None:
        self._site = site
        self._holder = holder
        self._entrance = entrance

    async def confirm(self, request: PortalRequest) -> Told:
        """Answer `/.ztproxy/command-line`: GET asks the person, who signs in first, and POST is what they say.

        Raises:
            Refused: METHOD_REFUSED, ROUTE_NOT_FOUND; TARGET_REFUSED, the wish is malformed; FORM_REFUSED.
            StoreUnavailable: the code could not be kept.
        """
        request.require_method(b"GET", b"HEAD", b"POST")
        place = self._site.returns.place(request.target)
        if place is None:
            raise Refused(ROUTE_NOT_FOUND, "a program must ask for a route that people sign in on")
        wish = _wish(request)
        session = await self._holder.session(request)
        if session is None or (place.providers is not None and session.issuer not in place.providers):
            if request.method == b"POST":
                raise Stopped(FORM_REFUSED, "a form must be of a session that has not ended")
            return self._entrance.begin(request.target, request.headers, request.now, request.request_id, None)
        forms = Forms(self._site.keyring, f"https://{_authority(request)}")
        if request.method != b"POST":
            token = forms.token(session, wish.form)
            return self._site.views.program(request, session, place.title, token, wish.origin)
        if forms.read(request, session, wish.form).get("answer") != "allow":
            return redirect(wish.answer(error="access_denied"), request.request_id)
        code = await self._issue(session, wish, request)
        return redirect(wish.answer(code=code), request.request_id)

    async def answer(self, request: PortalRequest, name: str) -> Told:
        """Answer `/.ztproxy/token` and `/.ztproxy/revoke`.

        Raises:
            Refused: METHOD_REFUSED, FORM_REFUSED, TOKEN_INVALID; SIGN_IN_EXPIRED, a code is no good here.
            StoreUnavailable: nobody knows.
        """
        if name == "revoke":
            request.require_method(b"POST")
            return await self._revoke(request)
        request.require_method(b"GET", b"POST")
        return await (self._redeem(request) if request.method == b"POST" else self._look(request))

    async def _issue(self, session: Session, wish: Wish, request: PortalRequest) -> str:
        code, expires = random_secret(), request.now + CODE_SECONDS
        device = request.peer.id if request.peer is not None and self._site.bind_device else ""
        row = [session.id, _authority(request), wish.redirect_uri, wish.challenge, device]
        sealed = self._site.keyring.seal(_PURPOSE, json.dumps(row).encode(), expires=expires)
        await self._site.store.put_code(sha256(code.encode("ascii")).digest(), sealed.encode("ascii"), expires)
        return code

    async def _redeem(self, request: PortalRequest) -> Told:
        """Give a token for a code (RFC 6749 section 4.1.3); the code is spent, whatever comes of it."""
        fields = read_form(request)
        session_id, device = await self._take(fields, request)
        session = await self._site.store.get(session_id)
        token, host = new_program_token(), host_of_program(_authority(request))
        record = HandleRecord(digest_of(token), session_id, host, request.now, device)
        if session is None or session.expires_at <= request.now or not await self._site.store.add_handle(record):
            raise Stopped(SIGN_IN_EXPIRED, "a session must not have ended before a token of it is given out")
        given = {"access_token": token.decode("ascii"), "token_type": "Bearer"}
        return _told({**given, **_facts(session, request)}, request)

    async def _take(self, fields: dict[str, str], request: PortalRequest) -> tuple[str, str]:
        """Return the session that a code is for, and the device that its token is bound to, or nothing."""
        code = fields.get("code", "").encode()
        sealed = await self._site.store.take_code(sha256(code).digest()) if is_handle(code) else None
        try:
            row = json.loads(self._site.keyring.open(_PURPOSE, (sealed or b"").decode("ascii"), request.now))
        except SealBroken:
            raise Stopped(SIGN_IN_EXPIRED, f"a code must be used once, within {CODE_SECONDS} seconds") from None
        session_id, host, redirect_uri, challenge_, device = row
        verifier = fields.get("code_verifier", "")
        if fields.get("grant_type") != "authorization_code" or host != _authority(request):
            raise Stopped(SIGN_IN_EXPIRED, "a code must be redeemed as one, on the host that it is for")
        proven = _VERIFIER.fullmatch(verifier) is not None and compare_digest(_challenge(verifier), challenge_)
        if not proven or fields.get("redirect_uri") != redirect_uri:
            raise Stopped(SIGN_IN_EXPIRED, "a code must be redeemed by the program that asked for it")
        return session_id, device

    async def _look(self, request: PortalRequest) -> Told:
        """Say whose token a program holds, and how long it is good."""
        scheme, _, token = request.value(b"authorization").partition(b" ")
        session = None
        if scheme.lower() == b"bearer" and is_program_token(token):
            found, host = await self._site.store.find(digest_of(token)), host_of_program(_authority(request))
            device = found[1].device if found is not None else ""  # where it is of no use it may be asked about
            session = await self._site.sessions.read(token, host, request.now, device=device, source=request.source)
        if session is None:
            rule = "a token of the command line must be of this host, and its session must not have ended"
            raise Refused(TOKEN_INVALID, rule, headers=challenge(TOKEN_INVALID))
        return _told(_facts(session, request), request)

    async def _revoke(self, request: PortalRequest) -> Told:
        """Forget a token; one that is none is as good as forgotten (RFC 7009 section 2.2)."""
        token, store = read_form(request).get("token", "").encode(), self._site.store
        if is_program_token(token):
            found = await store.find(digest_of(token))  # strangers may read, and not write
            if found is not None and found[1].host == host_of_program(_authority(request)):
                await store.drop_handle(digest_of(token))
        return _told({}, request)


def _wish(request: PortalRequest) -> Wish:
    parameters = request.parameters()
    address = _LOOPBACK.fullmatch(parameters.get("redirect_uri", ""))
    if address is None or int(address[2]) > 65535:
        raise Stopped(TARGET_REFUSED, "redirect_uri must be a path of http://127.0.0.1 with a port")
    asked, state = parameters.get("code_challenge", ""), parameters.get("state", "")
    if parameters.get("code_challenge_method") != "S256" or _CHALLENGE.fullmatch(asked) is None:
        raise Stopped(TARGET_REFUSED, "code_challenge must be of the method S256")
    if _STATE.fullmatch(state) is None:
        raise Stopped(TARGET_REFUSED, "state must be 16 to 128 unreserved characters")
    return Wish(address[0], address[1], asked, state)


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def _authority(request: PortalRequest) -> str:
    return authority_of(request.target.host, request.target.port)


def _facts(session: Session, request: PortalRequest) -> dict[str, str | int]:
    return {"expires_in": int(session.expires_at - request.now), "user": session.email or session.subject}


def _told(facts: dict[str, str | int], request: PortalRequest) -> Told:
    fields = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request.request_id.encode("ascii")),
    ]
    return Told(200, b"OK", fields, json.dumps(facts).encode() + b"\n")
