"""What an entry requires, in the shape that the default policy reads."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.policy.requirements import requirements
from tests.policy.inquiries import config

CORP = {"issuers": {"corp": True}}


@pytest.mark.parametrize(
    ("entry", "required"),
    [
        ({"anyone": True}, {}),
        ({"issuers": ["corp"]}, CORP),
        (
            {"users": ["ana@Example.ORG", "Bob@example.org", "user-1"]},
            CORP
            | {"users": {"emails": {"ana@example.org": True, "Bob@example.org": True}, "subjects": {"user-1": True}}},
        ),
        ({"groups": ["staff"]}, CORP | {"groups": {"staff": True}}),
        ({"claims": {"level": [3, "x"]}}, CORP | {"claims": {"level": [3, "x"]}}),
        (
            {"workloads": ["spiffe://example.org/a", "spiffe://example.org/b/*"]},
            {"workloads": {"exact": {"spiffe://example.org/a": True}, "below": ["spiffe://example.org/b/"]}},
        ),
        (
            {"devices": ["mdm:C02:7", "lab:*"]},
            {"devices": {"exact": {"mdm:C02:7": True}, "below": ["lab:"]}},
        ),
        ({"authenticated": True}, {"authenticated": {"issuers": {"corp": True}, "trust_domain": "example.org"}}),
        ({"anyone": True, "methods": ["GET", "PUT"]}, {"methods": {"GET": True, "HEAD": True, "PUT": True}}),
        (
            {"anyone": True, "paths": ["/a", "/a/b/", "/c"]},
            {
                "paths": {
                    "a": [{"segments": ["a"], "last": 0}, {"segments": ["a", "b"], "last": 2}],
                    "c": [{"segments": ["c"], "last": 0}],
                }
            },
        ),
        ({"anyone": True, "paths": ["/a", "/"]}, {}),
        ({"anyone": True, "networks": ["::ffff:10.0.0.0/104", "::/0"]}, {"networks": ["10.0.0.0/8", "::/0"]}),
        (
            {"anyone": True, "hours": {"days": ["mon"], "from": "08:30", "to": "24:00", "zone": "Asia/Kolkata"}},
            {"hours": {"days": {"Monday": True}, "from": 510, "to": 1440, "zone": "Asia/Kolkata"}},
        ),
    ],
)
def test_an_entry_requires_what_its_keys_say(entry: dict[str, Any], required: dict[str, Any]) -> None:
    settled = config(entry)
    [route] = settled.routes
    assert route.allow is not None
    assert requirements(route.allow[0], route, settled) == required
