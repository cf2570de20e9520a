"""The engine: what evaluates policy, whichever it is, and how one is made of a config.

It knows the two engines and the policy's files. It does not know requests, principals or what a decision means:
a document goes in, a plain value or `UNDEFINED` comes out, and everything else is a `Refused`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Config
from proxy.policy.embedded import build_embedded
from proxy.policy.input import Inquiry
from proxy.policy.shown import Plan


class Engine(Protocol):
    """What evaluates policy."""

    @property
    def revision(self) -> str:
        """A digest of policy and data; where OPA owns both, the server's address."""

    @property
    def generation(self) -> object:
        """What is this very object as long as policy and data are; decisions are remembered by it."""

    @property
    def instant(self) -> bool:
        """Whether `evaluate_now` answers, so that nobody needs to wait."""

    def plan(self, path: str) -> Plan:
        """Return what is made of requests for a rule: what it reads, and whether its decisions may be remembered."""

    def document(self, inquiry: Inquiry, path: str) -> dict[str, Any]:
        """Return the input for a rule: no more of it than the rule can read. Raise Refused(INPUT_REFUSED)."""

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        """Return what `evaluate` does, where the engine is `instant`."""

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        """Return the value of a rule for an input, as plain JSON values, or `UNDEFINED`.

        Args:
            path: the rule's path such as `ztproxy/authz/decision`; one of the entry points the engine was built for.
            document: the input, as `document` makes it.

        Raises:
            Refused: POLICY_FAILED, POLICY_TOO_SLOW, POLICY_UNREACHABLE, POLICY_PANICKED, POLICY_MALFORMED or
                INPUT_REFUSED.
        """

    async def look(self) -> None:
        """Find out what can be known of a policy that is somebody else's; of our own that is no question."""

    async def run(self) -> None:
        """Look again and again, until cancelled, while the engine serves; one in this process ends at once."""

    async def close(self) -> None:
        """Let connections go. An engine that a reload has carried over is closed once, by its last owner."""


def entry_points(config: Config) -> dict[str, Location]:
    """Return every rule that decides, and the first place in the file that names it."""
    points: dict[str, Location] = {config.policy.decision: ("policy", "decision")}
    for index, route in enumerate(config.routes):
        if route.decision is not None:
            points.setdefault(route.decision, ("routes", index, "decision"))
    return points


def build_engine(
    config: Config, data: Mapping[str, Any], previous: Engine | None = None
) -> tuple[Engine | None, list[Mistake]]:
    """Make the engine that a config asks for, on the thread that will evaluate: the embedded one lives on it.

    Args:
        config: the whole config.
        data: what the routes' `allow` became, from the root of data (`{"ztproxy": {"routes": …}}`), beside whatever the
            user loads.
        previous: the engine that serves now. It is returned itself where nothing it was made of has changed, so the
            caller compares by identity before it closes one.
    """
    if config.policy.engine == "embedded":
        return build_embedded(config, data, entry_points(config), previous)
    if config.policy.opa is None:
        return None, []  # which is `config/check`'s to tell
    from proxy.policy.opa import build_opa  # its client brings requests and urllib3: a tenth of a second

    return build_opa(config.policy.opa, config.policy.deadline, previous)
