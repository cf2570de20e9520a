"""Signing in at one OIDC provider, by authorization code and PKCE (OpenID Connect Core 3.1).

It knows one provider: where to send a browser, and what a code, a refresh token or a logout token proves. The caller
keeps state, nonce and verifier with the browser, and sessions in the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from proxy.identity.claims import TokenRules, groups_of, vouched_email
from proxy.identity.keys import KeySource
from proxy.identity.login.discovery import Directory, Metadata
from proxy.identity.login.groups_file import GroupsFile
from proxy.identity.login.id_token import Expected, verify_id_token
from proxy.identity.login.logout_token import verify_logout_token
from proxy.identity.login.outcome import (
    Ended,
    GrantRefused,
    Identity,
    KeyUnknown,
    LoginRefused,
    LoginUnavailable,
    LogoutToken,
    Postponed,
)
from proxy.identity.login.person import (
    lacks_claims,
    lasting,
    methods_of,
    of_the_token,
    refuse_overage,
    text_of,
    with_userinfo,
)
from proxy.identity.sessions.session import Session

if TYPE_CHECKING:  # Authlib: a tenth of a second of a start, for those alone who have people sign in
    from proxy.identity.login.client import Client, Tokens

__all__ = ["Ended", "Identity", "LoginRefused", "LoginUnavailable", "LogoutToken", "Postponed", "Provider", "Terms"]

_HINT_BYTES = 4096  # of an ID token in a URL: longer ones break on the way


@dataclass(frozen=True, slots=True)
class Terms:
    """What the config says of signing in at a provider.

    Args:
        title: what people know it by.
        rules: for its ID tokens and logout tokens; the audience is our client.
        userinfo: asked where the ID token lacks claims, always, or never.
        groups: further groups of its people.
    """

    title: str
    rules: TokenRules
    userinfo: Literal["missing", "always", "never"] = "missing"
    groups: GroupsFile = GroupsFile({})  # noqa: RUF009 - it does not change


class Provider:
    """One provider that signs people in.

    Args:
        terms: what the config says.
        client: speaks to it.
        directory: where its endpoints are.
        keys: its keys, kept fresh by somebody else.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        terms: Terms,
        client: Client,
        directory: Directory,
        keys: KeySource,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = terms.rules.name
        self.title = terms.title
        self.directory = directory
        self._terms = terms
        self._rules = terms.rules
        self._client = client
        self.keys = keys
        self._clock = clock

    async def metadata(self) -> Metadata:
        """Return where its endpoints are. Raise LoginUnavailable."""
        return await self.directory.metadata()

    async def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        nonce: str,
        code_verifier: str,
        prompt: str | None = None,
        max_age: float | None = None,
        acr: Sequence[str] = (),
        login_hint: str | None = None,
    ) -> str:
        """Return where to send a browser to sign in.

        Args:
            redirect_uri: where it shall come back to.
            state, nonce, code_verifier: random, of at least 128 bits, and kept with the browser.
            prompt: what the provider shall ask of the person, whatever session it has.
            max_age: seconds for which the person's proof may be old.
            acr: the context classes of which one will do, best first.
            login_hint: who the person probably is.

        Raises:
            LoginUnavailable: the provider cannot be asked, or has no PKCE.
        """
        return self._client.authorization_url(
            await self.metadata(),
            code_verifier,
            redirect_uri=redirect_uri,
            state=state,
            nonce=nonce,
            prompt=prompt,
            max_age=None if max_age is None else str(int(max_age)),
            acr_values=" ".join(acr) or None,
            login_hint=login_hint,
        )

    def verify_issuer(self, iss: str | None) -> None:
        """Raise LoginRefused unless an authorization response is this provider's, by its `iss` (RFC 9207 section 2.4).

        One without `iss` is refused where the provider is known to name itself; `redeem` makes sure to know that.
        """
        known = self.directory.known
        if iss is None and known is not None and known.names_itself:
            raise LoginRefused("answer must name its issuer, as the provider says that it does")
        if iss is not None and iss != self._rules.url:
            raise LoginRefused("answer must be of the provider that was asked")

    async def redeem(
        self,
        code: str,
        iss: str | None,
        *,
        redirect_uri: str,
        nonce: str,
        code_verifier: str,
        max_age: float | None = None,
        acr: Sequence[str] = (),
    ) -> Identity:
        """Return who signed in.

        Args:
            code: of the authorization response.
            iss: of the same, or None where it has none.
            redirect_uri, nonce, code_verifier, max_age, acr: those that the browser was sent away with.

        Raises:
            LoginRefused: the answer is another provider's, the code is not accepted, or what it was good for breaks a
                rule.
            LoginUnavailable: the provider could not be asked.
        """
        metadata = await self.metadata()
        self.verify_issuer(iss)
        if not code:
            raise LoginRefused("provider must answer with a code")
        try:
            tokens = await self._client.redeem(metadata, code, redirect_uri, code_verifier)
        except GrantRefused:
            raise LoginRefused("provider must accept the code") from None
        if not tokens.id_token:
            raise LoginRefused("provider must answer with an id token")
        claims = await self._verify(tokens, Expected(nonce, max_age, acr))
        try:
            said = await self._complete(claims, tokens, metadata)
        except GrantRefused:  # given a moment ago, so that the person has signed out meanwhile
            raise LoginRefused("userinfo: provider must accept the access token that it gave") from None
        now = self._clock()
        proven_at = claims.get("auth_time", claims["iat"])
        return self._identity(said, tokens, authenticated_at=min(float(proven_at), now), now=now)

    async def refresh(self, refresh_token: str, session: Session) -> Identity | Ended | Postponed:
        """Read a person's claims again.

        Args:
            refresh_token: unsealed; the provider may accept it once only.
            session: whose it is. What its provider does not say again stays as it was.

        Returns:
            The person as of now; Ended: the provider does not vouch for the session any more; or Postponed: it does,
            and has not said for whom.

        Raises:
            LoginUnavailable: the provider could not be asked, which says nothing about the session.
        """
        metadata = await self.metadata()
        try:
            tokens = await self._client.refresh(metadata, refresh_token)
        except GrantRefused:
            return Ended("provider must accept the refresh token")
        try:
            return await self._refreshed(tokens, metadata, session)
        except GrantRefused:  # the refresh token will tell whether the session has ended
            return Postponed("userinfo: provider must accept the access token that it gave", tokens.refresh_token)
        except (LoginUnavailable, KeyUnknown) as failed:  # a key may be newer than the last look at the provider's
            return Postponed(str(failed), tokens.refresh_token)
        except LoginRefused as refused:
            return Ended(str(refused))

    async def end_session_url(
        self, *, id_token_hint: str, post_logout_redirect_uri: str, state: str | None = None
    ) -> str | None:
        """Return where a browser ends the provider's session (OpenID Connect RP-Initiated Logout 1.0 section 2).

        None: the provider has no such place, or cannot be asked.
        """
        try:
            endpoint = (await self.metadata()).end_session_endpoint
        except LoginUnavailable:
            return None
        if endpoint is None:
            return None
        parameters = {"client_id": self._client.client_id, "post_logout_redirect_uri": post_logout_redirect_uri}
        if id_token_hint and len(id_token_hint) <= _HINT_BYTES:
            parameters["id_token_hint"] = id_token_hint
        if state is not None:
            parameters["state"] = state
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    async def verify_logout_token(self, text: str, now: float) -> LogoutToken:
        """Return whose sessions a logout token ends; the caller accepts its `jti` once.

        Raises:
            LoginRefused: it breaks a rule.
            LoginUnavailable: the provider's keys cannot be had.
        """
        return await verify_logout_token(text, self._rules, self.keys, now)

    async def _verify(self, tokens: Tokens, expected: Expected) -> dict[str, Any]:
        return await verify_id_token(
            tokens.id_token, tokens.access_token, expected, self._rules, self.keys, self._clock()
        )

    async def _complete(self, claims: dict[str, Any], tokens: Tokens, metadata: Metadata) -> dict[str, Any]:
        """Return an ID token's claims with userinfo's, where that is to be asked."""
        when, endpoint = self._terms.userinfo, metadata.userinfo_endpoint
        wanted = when == "always" or (when == "missing" and lacks_claims(claims, self._rules))
        if wanted and endpoint is not None:
            userinfo = await self._client.userinfo(endpoint, tokens.access_token)
            if userinfo.get("sub") != claims["sub"]:  # OpenID Connect Core 5.3.2: somebody else's, planted
                raise LoginRefused("userinfo must be about the subject of the id token")
            claims = with_userinfo(claims, userinfo)
        refuse_overage(claims, self._rules)
        return claims

    async def _refreshed(self, tokens: Tokens, metadata: Metadata, session: Session) -> Identity:
        known = dict(session.claims)
        if tokens.id_token:
            claims = await self._verify(tokens, Expected())
            if claims["sub"] != session.subject:
                raise LoginRefused("id token: subject must be that of the session")  # OpenID Connect Core 12.2
            kept = [(name, known[name]) for name in ("auth_time", "acr", "amr", "sid") if name in known]
            said = await self._complete({**dict(kept), **claims}, tokens, metadata)
        elif metadata.userinfo_endpoint is not None and self._terms.userinfo != "never":
            said = await self._complete({**of_the_token(known), "sub": session.subject}, tokens, metadata)
        else:
            said = {**known, "sub": session.subject}
        now = self._clock()
        proven_at = said.get("auth_time", session.authenticated_at)
        return self._identity(said, tokens, authenticated_at=min(float(proven_at), now), now=now)

    def _identity(self, said: dict[str, Any], tokens: Tokens, *, authenticated_at: float, now: float) -> Identity:
        rules, subject = self._rules, said["sub"]
        email = vouched_email(said, rules)
        further = self._terms.groups.groups_of(self.name, subject, email)
        return Identity(
            issuer=self.name,
            issuer_url=rules.url,
            subject=subject,
            authenticated_at=authenticated_at,
            email=email,
            groups=tuple(dict.fromkeys((*groups_of(said, rules), *further))),
            claims=lasting(said),
            amr=methods_of(said),
            acr=text_of(said, "acr"),
            provider_sid=text_of(said, "sid"),
            refresh_token=tokens.refresh_token,
            id_token=tokens.id_token,
            access_expires_at=None if tokens.expires_in is None else now + tokens.expires_in,
        )
