"""The portal: the paths under `/.ztproxy/`, which the proxy answers itself, and the way to sign in.

It knows no socket, and neither clock nor task: a request and the time come in, an answer goes out.
"""

from __future__ import annotations

from proxy.http.message import Headers, Target
from proxy.http.respond import Answer
from proxy.policy.decision import StepUp
from proxy.portal.request import PREFIX, PortalRequest, Told


class Portal:
    """What the exchange asks.

    Args:
        authority: host of the sign-in as browsers reach it, lower-case, with its port where that is not 443.
    """

    def __init__(self, authority: str) -> None:
        host, _, port = authority.partition(":")
        self._host, self._port = host, int(port or 443)

    def owns(self, target: Target) -> bool:
        """Tell whether the portal answers a target, whatever the routes say: before routing, so without a policy."""
        return target.path.startswith(PREFIX.encode()) or (target.host == self._host and target.path == b"/")

    async def answer(self, request: PortalRequest) -> Told:
        """Answer a request for a target that `owns` took.

        Raises:
            Refused: SESSIONS_UNAVAILABLE.
        """
        raise NotImplementedError

    def begin(
        self, target: Target, headers: Headers, now: float, request_id: str, *, step_up: StepUp | None = None
    ) -> Answer:
        """Send a browser that navigates without a session (or with one that policy finds too weak) to sign in.

        The caller has seen that this is a navigation, and that the route has `sign_in`.

        Args:
            target: where it wanted to go, and will come back to.
            headers: the request's, for its cookies.
            now: POSIX seconds.
            request_id: the reference to quote.
            step_up: what policy requires, or None.
        """
        raise NotImplementedError
