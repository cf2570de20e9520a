"""`net.cidr_*`: addresses and networks. None of them asks a network."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from proxy.policy.builtins.operands import members, text

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_CIDR: Final = re.compile(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?", re.ASCII)  # no scope, no netmask
_MOST_ADDRESSES: Final = 65536  # of one network, as a set of texts
_MOST_PAIRS: Final = 16384
_MOST_NETWORKS: Final = 4096


@lru_cache(maxsize=4096)
def _network(whole: str) -> _Network:
    if not _CIDR.fullmatch(whole):
        raise ValueError("operand must be an address, or a network in CIDR form")
    network = ipaddress.ip_network(whole, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


def _wide(value: object) -> _Network:
    if "/" not in text(value):
        raise ValueError("operand must be a network in CIDR form")
    return _network(text(value))


def cidr_contains(network: object, other: object) -> bool:
    """Tell whether a network holds an address or another network.

    An IPv4-mapped IPv6 address is the IPv4 address, as in OPA; regorus takes it for another family, so that a blocked
    network would not block a client of a dual-stack listener.
    """
    wide, narrow = _wide(network), _network(text(other))
    if isinstance(wide, ipaddress.IPv4Network):
        return isinstance(narrow, ipaddress.IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, ipaddress.IPv6Network) and narrow.subnet_of(wide)


def cidr_intersects(network: object, other: object) -> bool:
    """Tell whether two networks have an address in common."""
    wide, narrow = _wide(network), _wide(other)
    return wide.version == narrow.version and wide.overlaps(narrow)


def cidr_contains_matches(networks: object, others: object) -> set[Any]:
    """Return the pairs of one network and what it holds, each by its place in its collection."""
    left, right = list(_placed(networks)), list(_placed(others))
    if len(left) * len(right) > _MOST_PAIRS:
        raise ValueError(f"operands must not make more than {_MOST_PAIRS} pairs")
    return {
        (place, other_place) for network, place in left for other, other_place in right if cidr_contains(network, other)
    }


def _placed(value: object) -> Iterator[tuple[object, Any]]:
    """Yield each network of an operand with its place: an index, a key, or the element itself."""
    if type(value) is str:
        yield value, value
    elif isinstance(value, dict):
        yield from ((_first(item), key) for key, item in value.items())
    elif isinstance(value, list):
        yield from ((_first(item), index) for index, item in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((_first(item), item) for item in value)
    else:
        raise ValueError("operand must be a string, an array, a set or an object")


def _first(item: object) -> object:
    if isinstance(item, list | tuple) and item:
        return item[0]
    if type(item) is str:
        return item
    raise ValueError("each element must be a string, or an array that begins with one")


def cidr_expand(network: object) -> set[str]:
    """Return all addresses of a network, which must not be a large one."""
    found = _plain(network)
    if found.num_addresses > _MOST_ADDRESSES:
        raise ValueError(f"a network must not be expanded to more than {_MOST_ADDRESSES} addresses")
    return {str(address) for address in found}


def _plain(value: object) -> _Network:
    """Return a network as it is written; OPA spells an IPv4-mapped one in ways of its own."""
    if "/" not in text(value) or not _CIDR.fullmatch(text(value)):
        raise ValueError("operand must be a network in CIDR form")
    network = ipaddress.ip_network(text(value), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError("operand must not be an IPv4 network in the form of an IPv6 one")
    return network


def cidr_merge(networks: object) -> set[str]:
    """Return the fewest networks that hold what these hold. An IPv4 address alone stands for its classful network."""
    given = members(networks)
    if len(given) > _MOST_NETWORKS:
        raise ValueError(f"no more than {_MOST_NETWORKS} networks must be merged")
    found = [_merged_one(item) for item in given]
    fours = [network for network in found if isinstance(network, ipaddress.IPv4Network)]
    sixes = [network for network in found if isinstance(network, ipaddress.IPv6Network)]
    if fours and any(network.overlaps(_AMONG_MAPPED) for network in sixes):  # OPA takes the one for a part of the other
        raise ValueError("networks must not be of IPv4 and of the beginning of IPv6")
    merged: set[_Network] = {*ipaddress.collapse_addresses(fours), *ipaddress.collapse_addresses(sixes)}
    held = Counter(_holder(network, merged) for network in found)
    alone = {
        network: f"{address}/{network.prefixlen}"  # as OPA spells it
        for address, network in zip(given, found, strict=True)
        if "/" not in address and network in merged and held[network] == 1
    }
    return {alone.get(network, str(network)) for network in merged}


def _holder(network: _Network, merged: set[_Network]) -> _Network:
    """Return the one of some networks that holds another one."""
    while network not in merged:
        network = network.supernet()
    return network


_AMONG_MAPPED: Final = ipaddress.IPv6Network("::/64")


def _merged_one(value: object) -> _Network:
    if "/" in text(value):
        return _plain(value)
    if not _CIDR.fullmatch(text(value)):
        raise ValueError("each element must be an address, or a network in CIDR form")
    address = ipaddress.IPv4Address(text(value))
    first = int(address) >> 24
    return ipaddress.IPv4Network((address, 8 if first < 128 else 16 if first < 192 else 24), strict=False)
