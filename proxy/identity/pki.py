"""A development PKI: declared in one YAML file, made in one directory.

The declaration says which trust domains there are and who gets which SVID or server certificate; it holds no key. Each
trust domain becomes a folder with `ca.pem` and `ca.key`, and a `FILE.pem` and `FILE.key` for each of its entries.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from proxy.config import document
from proxy.config.document import Located
from proxy.config.mistake import Location, Mistake, did_you_mean
from proxy.config.units import parse_duration
from proxy.identity.authority import (
    CA_LIFETIME,
    SERVER_LIFETIME,
    SVID_LIFETIME,
    Authority,
    expiry,
    is_address,
)
from proxy.identity.keypair import pair_of, refuse_existing
from proxy.identity.spiffe import parse_spiffe_id, parse_trust_domain

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", re.ASCII)
_CA_FILE = "ca"
_SHORTEST = timedelta(seconds=1)  # certificates know no fractions
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeclaredSVID:
    """An X.509-SVID that is to be made."""

    file: str
    id: str
    dns: tuple[str, ...]
    ips: tuple[str, ...]
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class DeclaredServer:
    """A server certificate that is to be made."""

    file: str
    names: tuple[str, ...]
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class DeclaredDomain:
    """A trust domain, and whom its authority signs."""

    trust_domain: str
    lifetime: timedelta
    svids: tuple[DeclaredSVID, ...]
    servers: tuple[DeclaredServer, ...]

    def stems(self, directory: Path) -> list[Path]:
        """Return what `make_pki` writes, as paths without `.pem` and `.key`."""
        folder = directory / self.trust_domain
        return [
            folder / _CA_FILE,
            *(folder / svid.file for svid in self.svids),
            *(folder / server.file for server in self.servers),
        ]


def parse_pki(content: bytes) -> tuple[list[DeclaredDomain], list[Located]]:
    """Return the trust domains that a declaration declares, and every mistake in it; with a mistake, make nothing.

    Args:
        content: the YAML file, whose shape `certs/README.md` describes.
    """
    read = document.parse(content)
    if read.mistakes:
        return [], read.mistakes
    reader = _Reader()
    domains = reader.declaration(read.value)
    return domains, [Located(read.line_of(mistake.location), mistake) for mistake in reader.mistakes]


def parse_lifetime(text: object) -> timedelta:
    """Return a certificate's lifetime from `30s`, `24h` or `90d`. Raise ValueError for anything else."""
    lifetime = timedelta(seconds=parse_duration(text))
    if lifetime < _SHORTEST:
        raise ValueError("must not be shorter than 1s")
    return lifetime


def make_pki(domains: list[DeclaredDomain], directory: Path, *, force: bool = False) -> list[Path]:
    """Make every authority and sign everything that is declared; return the files written.

    Args:
        domains: what `parse_pki` returned without a mistake.
        directory: where the folders go; made if absent, for its owner alone.
        force: replace files that exist.

    Raises:
        FileExistsError: a file exists and `force` is not given; nothing is written then.
        OSError: a file cannot be written.
    """
    if not force:
        refuse_existing(file for domain in domains for stem in domain.stems(directory) for file in pair_of(stem))
    written: list[Path] = []
    for domain in domains:
        folder = directory / domain.trust_domain
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = Authority.create(domain.trust_domain, not_after=expiry(domain.lifetime))
        written += authority.write(folder, force=force)
        for svid in domain.svids:
            issued = authority.issue_svid(svid.id, not_after=expiry(svid.lifetime), dns=svid.dns, ips=svid.ips)
            written += issued.write(folder / svid.file, force=force)
        for server in domain.servers:
            issued = authority.issue_server(server.names, not_after=expiry(server.lifetime))
            written += issued.write(folder / server.file, force=force)
    return written


class _Reader:
    """Reads plain values into declarations and collects what is wrong with them."""

    __slots__ = ("mistakes",)

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def declaration(self, value: object) -> list[DeclaredDomain]:
        top = self._section((), value, ("version", "trust_domains"))
        self._required(top, (), "version", _version)
        domains = self._required(top, (), "trust_domains", _mapping) or {}
        return [self._domain(("trust_domains", name), name, section) for name, section in domains.items()]

    def _domain(self, location: Location, name: str, value: object) -> DeclaredDomain:
        self._parsed(location, name, _trust_domain)
        section = self._section(location, value, ("lifetime", "svids", "servers"))
        domain = DeclaredDomain(
            name,
            self._optional(section, location, "lifetime", parse_lifetime, CA_LIFETIME),
            tuple(self._svid(at, entry, name) for at, entry in self._entries(section, location, "svids")),
            tuple(self._server(at, entry) for at, entry in self._entries(section, location, "servers")),
        )
        self._check_entries(location, domain)
        return domain

    def _svid(self, location: Location, value: object, trust_domain: str) -> DeclaredSVID:
        section = self._section(location, value, ("file", "id", "dns", "ips", "lifetime"))
        return DeclaredSVID(
            self._required(section, location, "file", _file) or "",
            self._required(section, location, "id", partial(_workload, trust_domain=trust_domain)) or "",
            self._optional(section, location, "dns", _hosts, ()),
            self._optional(section, location, "ips", _addresses, ()),
            self._optional(section, location, "lifetime", parse_lifetime, SVID_LIFETIME),
        )

    def _server(self, location: Location, value: object) -> DeclaredServer:
        section = self._section(location, value, ("file", "names", "lifetime"))
        return DeclaredServer(
            self._required(section, location, "file", _file) or "",
            self._required(section, location, "names", _names) or (),
            self._optional(section, location, "lifetime", parse_lifetime, SERVER_LIFETIME),
        )

    def _check_entries(self, location: Location, domain: DeclaredDomain) -> None:
        lists: dict[str, Sequence[DeclaredSVID | DeclaredServer]] = {"svids": domain.svids, "servers": domain.servers}
        seen = {_CA_FILE}
        for kind, entries in lists.items():
            for index, entry in enumerate(entries):
                if entry.file and entry.file in seen:
                    self._mistake((*location, kind, index, "file"), f'must be the name of one entry: "{entry.file}"')
                if entry.lifetime > domain.lifetime:
                    self._mistake((*location, kind, index, "lifetime"), "must not be longer than its authority's")
                seen.add(entry.file)

    def _section(self, location: Location, value: object, keys: tuple[str, ...]) -> Mapping[str, object]:
        section = self._parsed(location, value, _mapping) or {}
        for key in section:
            if key not in keys:
                self._mistake((*location, key), f"is not a key here{did_you_mean(key, keys)}")
        return section

    def _entries(self, section: Mapping[str, object], location: Location, key: str) -> list[tuple[Location, object]]:
        entries = self._parsed((*location, key), section[key], _list) if key in section else None
        return [((*location, key, index), entry) for index, entry in enumerate(entries or ())]

    def _required(
        self, section: Mapping[str, object], location: Location, key: str, parse: Callable[[object], T]
    ) -> T | None:
        if key not in section:
            self._mistake((*location, key), "is required")
            return None
        return self._parsed((*location, key), section[key], parse)

    def _optional(
        self, section: Mapping[str, object], location: Location, key: str, parse: Callable[[object], T], default: T
    ) -> T:
        value = self._parsed((*location, key), section[key], parse) if key in section else None
        return default if value is None else value

    def _parsed(self, location: Location, value: object, parse: Callable[[object], T]) -> T | None:
        try:
            return parse(value)
        except ValueError as error:
            self._mistake(location, str(error))
            return None

    def _mistake(self, location: Location, rule: str) -> None:
        self.mistakes.append(Mistake(location, rule))


def _version(value: object) -> int:
    if value != 1 or isinstance(value, bool):
        raise ValueError("must be 1")
    return 1


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("must be a map of keys")  # noqa: TRY004 - a file is wrong, not a call
    return value


def _list(value: object) -> tuple[object, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list, and not an empty one")
    return tuple(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text, and not empty")
    return value


def _trust_domain(value: object) -> str:
    name = parse_trust_domain(_text(value))
    if name in {".", ".."}:
        raise ValueError("must be the name of a folder too")
    return name


def _file(value: object) -> str:
    if not _FILE.fullmatch(_text(value)):
        raise ValueError("must be a file name without a folder and without its suffix, such as web")
    return _text(value)


def _workload(value: object, trust_domain: str) -> str:
    spiffe_id = parse_spiffe_id(_text(value))
    if spiffe_id.trust_domain != trust_domain or not spiffe_id.path:
        raise ValueError(f"must be a spiffe id with a path, in trust domain {trust_domain}")
    return str(spiffe_id)


def _hosts(value: object) -> tuple[str, ...]:
    hosts = tuple(_text(one) for one in _list(value))
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("must be host names, or *. and one")
    return hosts


def _addresses(value: object) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(_text(one))) for one in _list(value))


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for one in _list(value) for name in (_addresses if is_address(_text(one)) else _hosts)([one]))
