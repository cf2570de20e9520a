"""How a sign-in ends: with an identity, or with a reason.

Values alone. No reason holds a code, a token or a secret, nor anything else that a provider or a browser sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in, as the provider proved it.

    Args:
        issuer: the issuer's name in the config.
        issuer_url: its `iss`.
        subject: the `sub`, which only together with its issuer says who it is.
        email: the vouched e-mail address, or empty.
        groups: the provider's and those of the groups file.
        claims: every claim of the ID token and of userinfo, but those that belong to one sign-in alone.
        amr: how the person proved to be it (RFC 8176).
        acr: the authentication context class, or empty.
        authenticated_at: POSIX seconds of that proof, never in the future.
        provider_sid: the provider's name for its session, or empty.
        refresh_token: to read the claims again with, or empty.
        id_token: to sign out at the provider with; empty where a refresh brought none.
        access_expires_at: POSIX seconds at which the provider's access token ends, or None: not told.
    """

    issuer: str
    issuer_url: str
    subject: str
    authenticated_at: float
    email: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    amr: tuple[str, ...] = ()
    acr: str = ""
    provider_sid: str = ""
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    access_expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The provider says that there is nothing to refresh any more. `reason`: the rule, for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """A provider accepted a refresh token, and what it says of the person could not be had or proven after that.

    Args:
        reason: the rule, for the log.
        refresh_token: to ask with again, for the one before may be spent; empty: the one before.
    """

    reason: str
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A provider's order to end sessions (OpenID Connect Back-Channel Logout 1.0).

    Args:
        issuer, issuer_url: whose sessions, by name in the config and by URL.
        subject: whose, or empty: of everybody in the provider's session.
        provider_sid: of which of the provider's sessions, or empty: of all of the subject's.
        jti: its id; the caller accepts it once.
        expires_at: POSIX seconds from which it is refused anyway, so that the id need not be kept longer.
    """

    issuer: str
    issuer_url: str
    subject: str
    provider_sid: str
    jti: str
    expires_at: float


class LoginRefused(Exception):  # noqa: N818 - an outcome, not an accident
    """A sign-in that the provider or the rules do not let through; another attempt would end the same.

    Args:
        reason: the rule that was broken, for the log.
        public: a sentence for the person, where there is more to say than that it was not accepted.
    """

    def __init__(self, reason: str, public: str | None = None) -> None:
        super().__init__(reason)
        self.public = public


class KeyUnknown(LoginRefused):
    """A token under a key that the provider is not known to have, perhaps not yet."""


class LoginUnavailable(Exception):  # noqa: N818 - an outcome, not an accident
    """A provider that could not be asked, or that does not work with us. It says nothing against the person."""


class GrantRefused(Exception):  # noqa: N818 - an outcome, not an accident
    """A code or a token that the provider does not accept, or not any more."""
