"""The permit: proof that a policy said yes to this request.

`upstream/pool.acquire` takes one as a required argument. The constructor needs a key that only this package holds, so
a permit cannot be made elsewhere by accident; on purpose, Python lets everything be done, and a reviewer would see it.
"""

from __future__ import annotations

from typing import Final, final

from proxy.policy.decision import Decision


@final
class _Seal:
    """The key to `Permit`; one exists, in this module."""

    __slots__ = ()


_SEAL: Final = _Seal()


@final
class Permit:
    """One request may go to one route's upstream.

    Args:
        decision: what policy said; `decision.allow` is true.
        decision_id: the decision record's id.
        route: the name of the route that was decided.
    """

    __slots__ = ("decision", "decision_id", "route")

    def __init__(self, decision: Decision, decision_id: str, route: str, *, seal: _Seal) -> None:
        if seal is not _SEAL or not decision.allow:
            raise TypeError("a permit is made by policy alone, of a decision that allows")
        self.decision = decision
        self.decision_id = decision_id
        self.route = route


def _issue(decision: Decision, decision_id: str, route: str) -> Permit:
    """Make a permit; for `policy/authorize` alone."""
    return Permit(decision, decision_id, route, seal=_SEAL)
