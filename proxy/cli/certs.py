"""`ztproxy certs`: a development CA, X.509-SVIDs, and what is in a certificate.

Prints what was asked for to stdout and what went wrong to stderr; exit status 2 when nothing was done.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

Force = Annotated[bool, typer.Option("--force", help="Replace files that exist; their keys are gone then.")]


@app.callback()
def certs() -> None:
    """A development CA, X.509-SVIDs, and what is in a certificate. Not for production: keys are plain files.

    Example: ztproxy certs init -f certs/dev.yaml pki
    """


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the folders of the trust domains go.")],
    file: Annotated[
        Path, typer.Option("--file", "-f", metavar="FILE", help="The declaration, such as certs/dev.yaml.")
    ],
    force: Force = False,
) -> None:
    """Make the PKI that FILE declares: a folder for each trust domain, with its CA, SVIDs and server certificates.

    Example: ztproxy certs init -f certs/dev.yaml pki
    """
    from proxy.config.load import render
    from proxy.identity.pki import make_pki, parse_pki

    try:
        domains, mistakes = parse_pki(file.read_bytes())
    except OSError as error:
        _fail(_reason(error))
    if mistakes:
        _fail(*render(mistakes, file))
    try:
        written = make_pki(domains, directory, force=force)
    except OSError as error:
        _fail(_reason(error))
    for path in written:
        typer.echo(path)


@app.command()
def issue(
    spiffe_id: Annotated[str, typer.Argument(metavar="SPIFFE_ID", help="spiffe://TRUST-DOMAIN/PATH")],
    ca: Annotated[Path, typer.Option("--ca", metavar="DIR", help="The directory that `certs init` made.")],
    out: Annotated[Path, typer.Option("--out", metavar="STEM", help="Write STEM.pem and STEM.key.")],
    dns: Annotated[
        list[str] | None, typer.Option("--dns", metavar="NAME", help="A host name; may be repeated.")
    ] = None,
    ip: Annotated[
        list[str] | None, typer.Option("--ip", metavar="ADDRESS", help="An address; may be repeated.")
    ] = None,
    lifetime: Annotated[str, typer.Option("--lifetime", metavar="DURATION", help="Such as 30s, 10m or 24h.")] = "24h",
    force: Force = False,
) -> None:
    """Sign an X.509-SVID with the CA of its trust domain.

    Example: ztproxy certs issue --ca pki spiffe://example.org/ns/shop/sa/cart --out cart
    """
    from proxy.identity.authority import Authority, expiry
    from proxy.identity.pki import parse_lifetime
    from proxy.identity.spiffe import parse_spiffe_id

    try:
        domain = parse_spiffe_id(spiffe_id).trust_domain
        if not (ca / domain / "ca.pem").exists():
            _fail(f"{ca}: must hold the authority of {domain}, as `ztproxy certs init` makes it")
        authority = Authority.load(ca / domain)
        issued = authority.issue_svid(
            spiffe_id, not_after=expiry(parse_lifetime(lifetime)), dns=dns or (), ips=ip or ()
        )
        written = issued.write(out, force=force)
    except OSError as error:
        _fail(_reason(error))
    except ValueError as error:
        _fail(str(error))
    for path in written:
        typer.echo(path)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PEM file with one certificate or more.")],
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="For a person, or for a program.")] = "text",
) -> None:
    """Say what is in FILE: SPIFFE ID, names, validity, key usage, and whether each certificate is a good SVID.

    Example: ztproxy certs show pki/example.org/web.pem
    """
    from proxy.identity.certificate import describe
    from proxy.identity.pem import load_certificates

    try:
        certificates = load_certificates(file.read_bytes())
    except OSError as error:
        _fail(_reason(error))
    except ValueError:  # its words are a library's
        _fail(f"{file}: must hold PEM certificates")
    try:
        facts = [describe(certificate, time.time()) for certificate in certificates]
    except ValueError as error:
        _fail(f"{file}: {error}")
    if form == "json":
        typer.echo(json.dumps({"file": str(file), "certificates": facts}, indent=2))
        return
    typer.echo("\n\n".join("\n".join(_lines(one)) for one in facts))


def _lines(facts: dict[str, Any]) -> list[str]:
    svid = facts["svid"]
    rows = [
        ("verdict", _verdict(svid)),
        ("spiffe id", svid["spiffe_id"] or "none"),
        ("subject", facts["subject"] or "empty"),
        ("issuer", facts["issuer"] or "empty"),
        ("valid", f"{facts['not_before']} to {facts['not_after']}, {_left(facts['days_left'])}"),
        ("key", facts["key"]),
        ("key usage", ", ".join(facts["key_usage"]) or "none"),
        ("purposes", ", ".join(facts["extended_key_usage"]) or "any"),
        ("host names", ", ".join([*facts["dns"], *facts["ips"]]) or "none"),
        ("serial", facts["serial"]),
        ("sha256", facts["sha256"]),
    ]
    return [f"{name:<11}{value}" for name, value in rows]


def _verdict(svid: dict[str, Any]) -> str:
    return {
        "workload": "a good X.509-SVID of a workload",
        "signing": "a good signing certificate",
        "none": f"no X.509-SVID: {svid['broken_rule']}",
    }[svid["kind"]]


def _left(days: float) -> str:
    amount = f"{abs(days):.0f} days" if abs(days) >= 2 else f"{abs(days) * 24:.1f} hours"
    return f"{amount} left" if days >= 0 else f"expired {amount} ago"


def _reason(error: OSError) -> str:
    advice = "; --force replaces it" if isinstance(error, FileExistsError) else ""
    return f"{error.filename}: {(error.strerror or str(error)).lower()}{advice}"


def _fail(*lines: str) -> NoReturn:
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(2)
