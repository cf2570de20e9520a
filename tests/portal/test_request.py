"""Parameters, read strictly."""

from __future__ import annotations

import pytest

from proxy.errors import Refused
from proxy.portal.request import read_parameters


@pytest.mark.parametrize(
    ("encoded", "pairs"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"a=b&c=d", {"a": "b", "c": "d"}),
        (b"a=b+c%20d%2B&e", {"a": "b c d+", "e": ""}),
        (b"%61=%C3%A4", {"a": "ä"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=b;c=d", {"a": "b;c=d"}),
    ],
)
def test_parameters_are_read(encoded: bytes, pairs: dict[str, str]) -> None:
    assert read_parameters(encoded) == pairs


@pytest.mark.parametrize(
    "encoded", [b"a=b&a=b", b"a=b&%61=c", b"a=%FF", b"%C0%AF=x", b"&".join(b"%d" % i for i in range(17))]
)
def test_what_two_readers_may_read_differently_is_refused(encoded: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_parameters(encoded)
    assert refused.value.row.code == "target_refused"
