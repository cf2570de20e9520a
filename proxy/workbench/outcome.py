"""What became of a case: the answer that the gateway would give, and what it was made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proxy.policy.decision import UNDEFINED
from proxy.policy.input import Inquiry, build_input


@dataclass(slots=True)
class Outcome:
    """The answer to one case.

    Args:
        status: of the answer; 200 stands for whatever the upstream says; 0: there is no answer of the pipeline's.
        code: the catalogue's, of a refusal; `own_page` and `handshake_failed` beside it; None: it was not refused.
        allow: whether the request is forwarded.
        route: the route's name, or None where none was found.
        point: the rule that was asked, such as `ztproxy/authz/decision`, or empty.
        reasons: the policy's, for the log.
        public_reason: the policy's, for the person.
        headers: for the upstream if it is allowed, for the client if it is not; names in lower case.
        decision: the value that the policy gave, or `UNDEFINED`.
        detail: of a refusal, the rule that was broken.
        notes: what of the case could not be taken as it is, and what became of it.
        milliseconds: that the decision took.
        inquiry: what the decision was asked with; None where it was not asked, or a document was given.
        document: the document that was given.
    """

    status: int
    code: str | None = None
    allow: bool = False
    route: str | None = None
    point: str = ""
    reasons: tuple[str, ...] = ()
    public_reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    decision: object = UNDEFINED
    detail: str = ""
    notes: tuple[str, ...] = ()
    milliseconds: float = 0.0
    inquiry: Inquiry | None = field(default=None, repr=False)
    document: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def input(self) -> dict[str, Any] | None:
        """The whole input document; None where no decision was asked for.

        Raises:
            Refused: INPUT_REFUSED; the request holds what no policy can read.
        """
        if self.document is None and self.inquiry is not None:
            self.document = build_input(self.inquiry)
        return self.document

    def as_json(self) -> dict[str, Any]:
        """Return it for a program: what is not there is left out."""
        told: dict[str, Any] = {"allow": self.allow, "status": self.status}
        if self.decision is not UNDEFINED:
            told["decision"] = self.decision
        optional = {
            "code": self.code,
            "route": self.route,
            "rule": self.point,
            "reasons": list(self.reasons),
            "public_reason": self.public_reason,
            "headers": [list(pair) for pair in self.headers],
            "detail": self.detail,
            "notes": list(self.notes),
        }
        told.update({name: value for name, value in optional.items() if value})
        return told | {"milliseconds": round(self.milliseconds, 3)}
