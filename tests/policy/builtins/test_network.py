"""Networks: what they hold, share and make together."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    ('net.cidr_intersects("10.0.0.0/8", "10.1.0.0/16")', True),
    ('net.cidr_intersects("10.0.0.0/8", "11.1.0.0/16")', False),
    ('net.cidr_intersects("::/0", "10.0.0.0/8")', False),
    ('net.cidr_intersects("::ffff:10.0.0.0/104", "10.0.0.0/8")', True),
    ('net.cidr_intersects("10.0.0.0", "10.1.0.0/16")', FAILS),
    ('net.cidr_contains_matches("10.0.0.0/8", ["10.1.1.1", "11.0.0.1"])', [["10.0.0.0/8", 0]]),
    (
        'net.cidr_contains_matches({"a": "10.0.0.0/8", "b": ["11.0.0.0/8", 1]}, {"10.1.1.1", "11.0.0.1"})',
        [["a", "10.1.1.1"], ["b", "11.0.0.1"]],
    ),
    ('net.cidr_contains_matches([["10.0.0.0/8", "x"]], "10.1.1.1")', [[0, "10.1.1.1"]]),
    ('net.cidr_contains_matches([[]], "10.1.1.1")', FAILS),
    ("net.cidr_contains_matches([], [])", []),
    ('net.cidr_contains_matches(["x"], [])', []),
    ("net.cidr_contains_matches(5, [])", FAILS),
    ('net.cidr_contains_matches(["10.0.0.0/8"], 5)', FAILS),
    ('net.cidr_expand("192.168.1.1/30")', ["192.168.1.0", "192.168.1.1", "192.168.1.2", "192.168.1.3"]),
    ('net.cidr_expand("192.168.1.1")', FAILS),
    ('net.cidr_expand("2001:db8::/126")', ["2001:db8::", "2001:db8::1", "2001:db8::2", "2001:db8::3"]),
    ('net.cidr_expand("::/126")', ["::", "::1", "::2", "::3"]),
    ('net.cidr_merge(["10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24"])', ["10.0.0.0/23"]),
    ('net.cidr_merge({"10.0.0.1", "172.16.3.4", "192.168.1.1"})', ["10.0.0.1/8", "172.16.3.4/16", "192.168.1.1/24"]),
    ('net.cidr_merge(["224.0.0.1"])', ["224.0.0.1/24"]),
    ('net.cidr_merge(["0.0.0.0"])', ["0.0.0.0/8"]),
    ('net.cidr_merge(["240.0.0.1", "10.0.0.0/8"])', ["10.0.0.0/8", "240.0.0.1/24"]),
    ('net.cidr_merge(["2001:db8::1"])', FAILS),
    ('net.cidr_merge(["2001:db8::/33", "2001:db8:8000::/33", "10.0.0.0/8"])', ["10.0.0.0/8", "2001:db8::/32"]),
    ('net.cidr_merge(["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"])', ["10.0.0.0/23", "10.0.2.0/24"]),
    ('net.cidr_merge(["10.0.0.5/24"])', ["10.0.0.0/24"]),
    ('net.cidr_merge(["255.255.255.255/32", "255.255.255.254/32"])', ["255.255.255.254/31"]),
    ('net.cidr_merge(["::/128", "::1/128"])', ["::/127"]),
    ('net.cidr_merge(["0.0.0.0/32", "255.255.255.255/32"])', ["0.0.0.0/32", "255.255.255.255/32"]),
    ("net.cidr_merge([])", []),
    ('net.cidr_merge("10.0.0.0/8")', FAILS),
    ('net.cidr_merge(["10.0.0.0/08"])', ["10.0.0.0/8"]),
    ('net.cidr_merge(["10.0.0.0/33"])', FAILS),
    ('net.cidr_merge(["010.0.0.0/8"])', FAILS),
]

STRICTER: Cases = [
    ('net.cidr_expand("::ffff:10.0.0.0/126")', ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    ('net.cidr_merge(["0.0.0.0/0", "::/0"])', ["::/0"]),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
