"""What a desk is opened on: a config, a policy, or both, read as `ztproxy run` reads them and complained about as
`ztproxy check` complains.

Keys, certificates, stores and upstreams are not looked at: a checkout has none, and no decision is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.config.load import File, read, render
from proxy.config.mistake import Mistake
from proxy.config.schema import Config
from proxy.policy.allow import allow_mistakes, route_data
from proxy.policy.engine import Engine, build_engine
from proxy.policy.modules import read_module
from proxy.policy.reading import NotLoaded, read_policy
from proxy.policy.sources import Module, read_sources
from proxy.policy.testing import CannotRun

# A loaded machine must not change what is said; how long a decision took is told beside it.
_PATIENCE: Final = 10.0
DEFAULT_DECISION: Final = "ztproxy/authz/decision"
ANY: Final = "any"


@dataclass(frozen=True, slots=True)
class Ground:
    """What was read.

    Args:
        config: the config, of which the policy that was named is part.
        engine: the policy, on this thread.
        whole: there is a config file, so that it says which identities there are.
    """

    config: Config
    engine: Engine
    whole: bool


def read_ground(config: Path | None, policy: Path | None, decision: str | None) -> Ground:
    """Read what a desk works on.

    Args:
        config: the config, or None: one route takes every host and path.
        policy: a policy in place of the config's, or None.
        decision: the rule in place of the config's `policy.decision`, or None.

    Raises:
        CannotRun: with every mistake.
    """
    if config is None and policy is None:
        raise CannotRun("a config (-c FILE) or a policy (--policy PATH) must be named")
    if config is None:
        assert policy is not None
        ground = _alone(policy, decision or _find_decision(policy))
        return _built(None, ground)
    file = read(config)
    if file.config is None:
        raise CannotRun(*render(file.mistakes, config))
    if policy is None and file.config.policy.engine == "opa":
        raise CannotRun(f"{config}: the policy is an OPA server's: name a copy of it (--policy PATH)")
    return _built(file, _changed(file.config, policy, decision))


def _changed(config: Config, policy: Path | None, decision: str | None) -> Config:
    changes: dict[str, Any] = {"engine": "embedded", "deadline": max(_PATIENCE, config.policy.deadline)}
    if policy is not None:
        changes |= {"path": policy.absolute()}
    if decision is not None:
        changes |= {"decision": decision}
    return config.model_copy(update={"policy": config.policy.model_copy(update=changes)})


def _alone(policy: Path, decision: str) -> Config:
    """Return the config of a policy that has none: every issuer, workload and device could be there."""
    tls = {"certificate": "edge.pem", "key": "edge.key", "client_certificates": "optional"}
    document = {
        "version": 1,
        "trust_domain": "example.org",
        "listeners": [{"name": "edge", "address": "127.0.0.1:8443", "tls": tls}],
        "identity": {"issuers": {"corp": {"issuer": "https://idp.example.org", "bearer": {"audiences": ["ztproxy"]}}}},
        "policy": {"path": str(policy.absolute()), "decision": decision, "deadline": f"{_PATIENCE:g}s"},
        "upstreams": {ANY: {"endpoints": ["http://127.0.0.1:8080"]}},
        "routes": [{"name": ANY, "host": "*", "upstream": ANY}],
    }
    try:
        return Config.model_validate(document, context={"base": str(Path.cwd())})
    except ValueError:
        raise CannotRun(f"{decision!r} must be a rule's path, such as {DEFAULT_DECISION}") from None


def _built(file: File | None, config: Config) -> Ground:
    mistakes = [] if file is None else allow_mistakes(config)
    engine, wrong = build_engine(config, route_data(config))
    mistakes += wrong
    errors = [mistake for mistake in mistakes if mistake.severity == "error"]
    if errors or engine is None:
        raise CannotRun(*_lines(file, errors))
    return Ground(config, engine, file is not None)


def _lines(file: File | None, errors: Iterable[Mistake]) -> list[str]:
    """Return a line for each mistake; one of a policy's file begins with that file's place."""
    of_policy = [mistake.rule for mistake in errors if file is None or mistake.location == ("policy", "path")]
    rest = [] if file is None else [mistake for mistake in errors if mistake.location != ("policy", "path")]
    return [*of_policy, *([] if file is None else render(file.locate(rest), file.path))]


def _find_decision(policy: Path) -> str:
    """Return the rule that decides where nobody names it: the default one, or the only one that is called so.

    Raises:
        CannotRun: there is none, or there are several; or the policy cannot be read.
    """
    sources, mistakes = read_sources(policy)
    if sources is None:
        raise CannotRun(*(mistake.rule for mistake in mistakes))
    rules = _rules(sources.modules)
    if DEFAULT_DECISION in rules:
        return DEFAULT_DECISION
    for name in ("decision", "allow"):
        found = sorted(rule for rule in rules if rule.rpartition("/")[2] == name)
        if len(found) == 1:
            return found[0]
        if found:
            raise CannotRun(f"{policy}: which rule decides must be named (--decision): {', '.join(found)}")
    raise CannotRun(f"{policy}: no rule is called decision or allow: name the one that decides (--decision)")


def _rules(modules: list[Module]) -> set[str]:
    try:
        trees = [read_module(tree) for tree in read_policy(tuple(modules)).trees]
    except (NotLoaded, RuntimeError, ValueError):
        return {DEFAULT_DECISION}  # it is told what is wrong with it where it is loaded
    return {
        "/".join((*module.package, rule.steps[0]))
        for module in trees
        for rule in module.rules
        if len(rule.steps) == 1 and isinstance(rule.steps[0], str) and rule.kind in ("complete", "default")
    }
