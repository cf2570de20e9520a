"""Policy's no, as an error: apart from who raises it, for the compiler takes no errors of ours."""

from __future__ import annotations

from proxy.errors import Refused
from proxy.policy.decision import Decision


class Denied(Refused):
    """Policy said no, or not yet.

    Args:
        decision: what it said.
    """

    __slots__ = ("decision",)

    def __init__(self, refused: Refused, decision: Decision) -> None:
        super().__init__(
            refused.row,
            refused.detail,
            headers=refused.headers,
            public_reason=refused.public_reason,
            status=refused.status,
            body=refused.body,
        )
        self.decision = decision
