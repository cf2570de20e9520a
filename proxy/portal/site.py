"""What the rooms of the portal share: one sign-in host, and what it works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.identity.login.provider import Provider
from proxy.identity.sealed import Keyring
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.store import Store
from proxy.portal.request import PREFIX
from proxy.portal.returning import Returns
from proxy.portal.views import Views


@dataclass(frozen=True, slots=True)
class Site:
    """One sign-in host.

    Args:
        authority: host, and port where it is not 443, as browsers reach it; lower-case.
        returns: judges return addresses.
        providers: those that sign people in, by name, in the order of the config.
        sessions: what requests ask; store: what keeps them.
        keyring: seals what browsers hold.
        views: the pages.
        lifetime: seconds that a session lasts at most.
        refresh: seconds after which a session's claims are read again, where its provider lets us.
        bind_device: a handle is good on the connection of the device alone that it was given to.
    """

    authority: str
    returns: Returns
    providers: Mapping[str, Provider]
    sessions: Sessions
    store: Store
    keyring: Keyring
    views: Views
    lifetime: float
    refresh: float
    bind_device: bool = False

    @property
    def origin(self) -> str:
        """The sign-in host as an origin."""
        return f"https://{self.authority}"

    def title(self, issuer: str) -> str:
        """Return what people know an issuer by; its name where it signs nobody in any more."""
        provider = self.providers.get(issuer)
        return issuer if provider is None else provider.title

    def redirect_uri(self, provider: str) -> str:
        """Return the redirect URI of a provider: of the config, never of a request (CVE-2024-21499)."""
        return f"{self.origin}{PREFIX}callback/{provider}"
