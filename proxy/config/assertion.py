"""What the config says of assertions: ours, those of other gateways, and the sets of header fields beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, Literal

from proxy.config.mistake import Location, Mistake
from proxy.config.section import Section
from proxy.config.values import FilePath, NonEmpty

if TYPE_CHECKING:
    from proxy.config.schema import Issuer

HeaderSet = Literal["ztproxy", "oauth2-proxy", "authelia", "pomerium"]
_SCHEME: Final = "spiffe://"


class Assertion(Section):
    """The keys that sign assertions: the first signs, and all of them are published."""

    key_files: Annotated[tuple[FilePath, ...], NonEmpty]


def asserting_issuer(workload: str) -> str:
    """Return the `iss` of the assertions of a gateway that has this SPIFFE ID."""
    return f"https://{_trust_domain(workload)}"


def _trust_domain(workload: str) -> str:
    return workload.removeprefix(_SCHEME).partition("/")[0]


def issuer_mistakes(issuer: Issuer, at: Location, asked_for: bool) -> Iterator[Mistake]:
    """Yield what contradicts in an issuer, by its kind.

    Args:
        issuer: the section.
        at: where it stands.
        asked_for: some listener asks for the client certificates by which gateways are known.
    """
    if issuer.kind == "oidc":
        if issuer.issuer is None:
            yield Mistake((*at, "issuer"), "is required")
        for key in ("from", "idp"):
            if getattr(issuer, "from_" if key == "from" else key) is not None:
                yield Mistake((*at, key), "must not stand beside kind: oidc, whose tokens come from anywhere")
        return
    for key in ("bearer", "login", "claims"):
        if key in issuer.model_fields_set:
            yield Mistake((*at, key), "must not stand beside kind: assertion, which has its own form")
    if issuer.jwks_url is None and issuer.jwks_file is None:
        yield Mistake(at, "must have jwks_url or jwks_file: the keys of a gateway are not found by discovery")
    if issuer.from_ is None:
        yield Mistake((*at, "from"), "is required with kind: assertion: the SPIFFE IDs of the gateways that may vouch")
        return
    if issuer.issuer is None and len({_trust_domain(workload) for workload in issuer.from_}) > 1:
        yield Mistake((*at, "from"), "must be of one trust domain, or stand beside issuer")
    if not asked_for:
        yield Mistake(
            (*at, "from"), "nobody is recognised by this: no listener asks for client certificates", "warning"
        )
    if issuer.idp is None:
        rule = (
            "should name the one issuer of that gateway whose users these are: all that it has are one people without"
        )
        yield Mistake((*at, "idp"), rule, "warning")
