"""Rules about sockets: what a listener must say, what it must not say together, and who else has its address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from proxy.config.address import Address, parse_address
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Config, Listener, ListenerTLS

_EVERYBODY = 0  # the prefix length of 0.0.0.0/0 and ::/0


class _Socket(NamedTuple):
    location: Location
    owner: str
    address: Address


def listening_mistakes(config: Config) -> Iterator[Mistake]:
    """Yield the mistakes of `listeners`, `admin` and `health`."""
    yield from _names(config.listeners)
    for index, listener in enumerate(config.listeners):
        yield from _listener(listener, ("listeners", index))
    if not parse_address(config.admin.address).is_loopback:
        yield Mistake(("admin", "address"), "must be on loopback or a Unix socket: nobody is asked who they are there")
    yield from _overlaps(list(_sockets(config)))


def asks_for_certificates(listener: Listener) -> bool:
    """Whether a client may prove itself by a certificate on this listener."""
    tls = listener.tls
    if tls is None:
        return False
    settings = (tls.client_certificates, *(one.client_certificates for one in tls.certificates))
    return any(setting != "none" for setting in settings)


def _names(listeners: Iterable[Listener]) -> Iterator[Mistake]:
    seen: dict[str, int] = {}
    for index, listener in enumerate(listeners):
        first = seen.setdefault(listener.name, index)
        if first != index:
            yield Mistake(("listeners", index, "name"), f'"{listener.name}" is the name of listeners[{first}] already')


def _listener(listener: Listener, at: Location) -> Iterator[Mistake]:
    if listener.serves == "https_redirect":
        if listener.tls is not None:
            yield Mistake((*at, "tls"), "must not stand beside serves: https_redirect, which answers plain http")
    elif listener.tls is None and listener.plaintext is None:
        yield Mistake(at, "must have tls, or say plaintext: true")
    elif listener.tls is not None and listener.plaintext is not None:
        yield Mistake((*at, "plaintext"), "must not stand beside tls")
    if listener.tls is not None:
        yield from _tls(listener.tls, (*at, "tls"))
    if listener.serves == "authorization" and listener.trusted_proxies is None:
        yield Mistake(at, "must name trusted_proxies: the gateways that may ask")
    yield from _trusted_proxies(listener, at)


def _tls(tls: ListenerTLS, at: Location) -> Iterator[Mistake]:
    if not tls.certificates:
        for key in ("certificate", "key"):
            if getattr(tls, key) is None:
                yield Mistake((*at, key), "is required, or certificates, a list of them by host")
        return
    beside = [key for key in ("certificate", "key", "client_certificates") if key in tls.model_fields_set]
    if beside:
        yield Mistake((*at, "certificates"), f"must not stand beside {', '.join(beside)}: each of them has its own")
    owners: dict[str, int] = {}
    for index, certificate in enumerate(tls.certificates):
        for position, host in enumerate(certificate.hosts):
            first = owners.setdefault(host, index)
            if first != index or host in certificate.hosts[:position]:
                place = (*at, "certificates", index, "hosts", position)
                yield Mistake(place, f'"{host}" is certificates[{first}]\'s already')


def _trusted_proxies(listener: Listener, at: Location) -> Iterator[Mistake]:
    trusted = listener.trusted_proxies
    if trusted is None:
        return
    if not trusted.networks and not trusted.workloads:
        yield Mistake((*at, "trusted_proxies"), "must name networks or workloads")
    if trusted.workloads and not asks_for_certificates(listener):
        yield Mistake((*at, "trusted_proxies", "workloads"), "must stand beside tls that asks for client certificates")
    for index, network in enumerate(trusted.networks):
        if network.prefixlen == _EVERYBODY:
            place = (*at, "trusted_proxies", "networks", index)
            yield Mistake(place, "everybody is trusted to say where a request comes from", "warning")


def _sockets(config: Config) -> Iterator[_Socket]:
    """The sockets of a config, what is not written first: a mistake should lie on what is."""
    admin = _Socket(("admin", "address"), "admin", parse_address(config.admin.address))
    if "address" not in config.admin.model_fields_set:
        yield admin
    for index, listener in enumerate(config.listeners):
        address = parse_address(listener.address)
        yield _Socket(("listeners", index, "address"), f"listeners[{index}]", address)
    if "address" in config.admin.model_fields_set:
        yield admin
    if config.health is not None:
        yield _Socket(("health", "address"), "health", parse_address(config.health.address))


def _overlaps(sockets: list[_Socket]) -> Iterator[Mistake]:
    by_port: dict[tuple[str, int, str], list[_Socket]] = {}
    for socket in sockets:
        address = socket.address
        others = by_port.setdefault((address.kind, address.port, address.path), [])
        rival = next((other for other in others if _overlap(other.address, address)), None)
        if rival is not None:
            place = address.path or f"{address.host}:{address.port}"
            yield Mistake(socket.location, f"{place} overlaps with the address of {rival.owner}")
        others.append(socket)


def _overlap(one: Address, other: Address) -> bool:
    """Whether two addresses of one port, or of one path, cannot both be listened on."""
    if one.kind == "unix":
        return True
    if one.port == 0:
        return False
    if one.host == other.host:
        return True
    families = _families(one.host) & _families(other.host)
    return bool(families) and (_is_wild(one.host) or _is_wild(other.host) or _is_local(one.host, other.host))


def _families(host: str) -> set[int]:
    """The IP versions that a host may be; an IPv6 socket of ours takes no IPv4 (IPV6_V6ONLY)."""
    try:
        return {ipaddress.ip_address(host).version}
    except ValueError:
        return {4, 6}


def _is_wild(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _is_local(one: str, other: str) -> bool:
    return {one, other} in ({"localhost", "127.0.0.1"}, {"localhost", "::1"})
