"""Rules between the keys of a config: names that must exist, and what must not contradict.

It sees a config that the schema accepts and nothing else: no disk, no network. What needs a certificate, a key, a
token issuer or a policy is checked by the room that owns it. A mistake lies on the key that a person would change.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.address import parse_url
from proxy.config.assertion import issuer_mistakes
from proxy.config.listening import asks_for_certificates, listening_mistakes
from proxy.config.mistake import Location, Mistake
from proxy.config.routing import routing_mistakes
from proxy.config.schema import OPA, Config, Upstream
from proxy.config.signin import sign_in_mistakes
from proxy.config.staff import SERVICES, session_mistakes


def check(config: Config) -> list[Mistake]:
    """Return every cross-field mistake of a config that the schema accepts, warnings too."""
    return [
        *listening_mistakes(config),
        *_limits(config),
        *_identity(config),
        *_policy(config),
        *_decision_log(config),
        *_upstreams(config),
        *routing_mistakes(config),
        *sign_in_mistakes(config),
        *session_mistakes(config.session),
    ]


def _limits(config: Config) -> Iterator[Mistake]:
    limits = config.limits
    if limits.target_length > limits.header_bytes:
        yield Mistake(("limits", "target_length"), "must not be larger than limits.header_bytes, which it is a part of")


def _identity(config: Config) -> Iterator[Mistake]:
    bundles = config.identity.trust_bundles
    if bundles and config.trust_domain not in bundles:  # none at all is identity/tls's to tell
        asking = [listener.name for listener in config.listeners if asks_for_certificates(listener)]
        if asking:
            rule = f"must have its trust bundle in identity.trust_bundles: {asking[0]} asks for client certificates"
            yield Mistake(("trust_domain",), rule)
    yield from _client_certificates(config)
    asked_for = any(asks_for_certificates(listener) for listener in config.listeners)
    if SERVICES in config.identity.issuers:
        yield Mistake(
            ("identity", "issuers", SERVICES), f"must not be called {SERVICES}, as the issuer of service tokens is"
        )
    for name, issuer in config.identity.issuers.items():
        yield from issuer_mistakes(issuer, ("identity", "issuers", name), asked_for)


def _client_certificates(config: Config) -> Iterator[Mistake]:
    seen: dict[str, int] = {}
    for index, authority in enumerate(config.identity.client_certificates):
        at: Location = ("identity", "client_certificates", index)
        first = seen.setdefault(authority.name, index)
        if first != index:
            yield Mistake((*at, "name"), f'"{authority.name}" is the name of client_certificates[{first}] already')
        if authority.name.lower() == "spiffe":  # the identity of a device begins with it, and must be no SPIFFE ID
            yield Mistake((*at, "name"), "must not be spiffe, with which the identities of workloads begin")
    if seen and not any(asks_for_certificates(listener) for listener in config.listeners):
        rule = "nobody is recognised by this: no listener asks for client certificates"
        yield Mistake(("identity", "client_certificates"), rule, "warning")


def _policy(config: Config) -> Iterator[Mistake]:
    policy = config.policy
    if policy.engine == "opa" and policy.opa is None:
        yield Mistake(("policy", "opa"), "is required with engine: opa")
    if policy.engine == "opa" and policy.path is not None:
        yield Mistake(("policy", "path"), "must not stand beside engine: opa, whose server owns policy and data")
    if policy.engine == "embedded" and policy.opa is not None:
        yield Mistake(("policy", "engine"), "must be opa where policy.opa is given")
    if policy.opa is not None:
        yield from _opa(policy.opa)


def _opa(opa: OPA) -> Iterator[Mistake]:
    at: Location = ("policy", "opa")
    url = parse_url(opa.url)
    if url.path not in ("", "/"):
        yield Mistake((*at, "url"), "must be scheme, host and port alone, without a path or query")
    yield from _pair(opa.certificate, opa.key, at)
    if url.scheme == "https":
        return
    for key in ("ca", "certificate", "key"):
        if getattr(opa, key) is not None:
            yield Mistake((*at, key), "must not stand beside a url that is not https")
    if not url.is_loopback:
        yield Mistake((*at, "url"), "should be https: who can read or change this traffic decides", "warning")


def _decision_log(config: Config) -> Iterator[Mistake]:
    if config.decision_log.required and config.decision_log.to == "off":
        yield Mistake(
            ("decision_log", "required"),
            "must not stand beside to: off: nothing is recorded, so nothing would be permitted",
        )


def _pair(certificate: object, key: object, at: Location) -> Iterator[Mistake]:
    if certificate is not None and key is None:
        yield Mistake((*at, "key"), "is required beside certificate")
    if key is not None and certificate is None:
        yield Mistake((*at, "certificate"), "is required beside key")


def _upstreams(config: Config) -> Iterator[Mistake]:
    used = {route.upstream for route in config.routes}
    settled = all(route.redirect is not None or route.upstream in config.upstreams for route in config.routes)
    for name, upstream in config.upstreams.items():
        at: Location = ("upstreams", name)
        yield from _upstream(upstream, at)
        if settled and name not in used:
            yield Mistake(at, "no route uses this upstream", "warning")


def _upstream(upstream: Upstream, at: Location) -> Iterator[Mistake]:
    urls = [parse_url(endpoint) for endpoint in upstream.endpoints]
    for index, url in enumerate(urls):
        if url in urls[:index]:
            yield Mistake((*at, "endpoints", index), "is listed twice")
    if "tls" in upstream.model_fields_set and all(url.scheme == "http" for url in urls):
        yield Mistake((*at, "tls"), "must not stand beside endpoints none of which is https")
