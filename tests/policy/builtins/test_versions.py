"""Versions and UUIDs, in all forms that OPA reads."""

from __future__ import annotations

from proxy.policy.decision import UNDEFINED
from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter

CASES: Cases = [
    ('semver.is_valid("1.0.0")', True),
    ('semver.is_valid("v1.0.0")', True),
    ('semver.is_valid("1.0.0-")', False),
    ('semver.is_valid("1.0.0-a..b")', False),
    ('semver.is_valid("1.0.0-01")', False),
    ('semver.is_valid("1.0.0-0a")', True),
    ('semver.is_valid("1.0.0+01")', True),
    ('semver.is_valid("01.0.0")', False),
    ('semver.is_valid("1.0.0-a+b+c")', False),
    ('semver.is_valid("9223372036854775808.0.0")', False),
    (r'semver.is_valid("1.0.0\n")', False),
    ('semver.is_valid("+1.0.0")', False),
    ('semver.is_valid("1.0.0-α")', False),
    ('semver.compare("1.0.0", "1.0.0+x")', 0),
    ('semver.compare("1.0.0-alpha", "1.0.0")', -1),
    ('semver.compare("1.0.0-alpha.1", "1.0.0-alpha.beta")', -1),
    ('semver.compare("1.0.0-alpha", "1.0.0-alpha.1")', -1),
    ('semver.compare("1.0.0-2", "1.0.0-11")', -1),
    ('semver.compare("1.0.0--", "1.0.0-a")', -1),
    ('semver.compare("1.2.3", "1.10.0")', -1),
    ('semver.compare("v2.0.0", "1.10.0")', 1),
    ('semver.compare("1.0.0-a.b.c", "1.0.0-a.b")', 1),
    (
        'uuid.parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")',
        {
            "clocksequence": 180,
            "macvariables": "global:unicast",
            "nodeid": "00-c0-4f-d4-30-c8",
            "time": 886630433151182400,
            "variant": "RFC4122",
            "version": 1,
        },
    ),
    (
        'uuid.parse("{6ba7b810-9dad-11d1-80b4-00c04fd430c8}")',
        {
            "clocksequence": 180,
            "macvariables": "global:unicast",
            "nodeid": "00-c0-4f-d4-30-c8",
            "time": 886630433151182400,
            "variant": "RFC4122",
            "version": 1,
        },
    ),
    ('uuid.parse("urn:uuid:6ba7b810-9dad-41d1-c0b4-00c04fd430c8")', {"variant": "Microsoft", "version": 4}),
    (
        'uuid.parse("6ba7b8109dad21d1e0b401c04fd430c8")',
        {
            "clocksequence": 8372,
            "domain": "Domain180",
            "id": 1806153744,
            "macvariables": "global:multicast",
            "nodeid": "01-c0-4f-d4-30-c8",
            "time": 886630433151182400,
            "variant": "Future",
            "version": 2,
        },
    ),
    (
        'uuid.parse("000003e8-48b9-21ee-b200-325096b39f47")',
        {
            "clocksequence": 12800,
            "domain": "Person",
            "id": 1000,
            "macvariables": "local:unicast",
            "nodeid": "32-50-96-b3-9f-47",
            "time": 1693566990121469600,
            "variant": "RFC4122",
            "version": 2,
        },
    ),
    (
        'uuid.parse("000003e8-48b9-21ee-1203-325096b39f47")',
        {
            "clocksequence": 4611,
            "domain": "Domain3",
            "id": 1000,
            "macvariables": "local:unicast",
            "nodeid": "32-50-96-b3-9f-47",
            "time": 1693566990121469600,
            "variant": "Reserved",
            "version": 2,
        },
    ),
    ('uuid.parse("000003e8-48b9-71ee-1203-325096b39f47")', {"variant": "Reserved", "version": 7}),
]

STRICTER: Cases = [
    (
        'uuid.parse("00000000-0000-1000-8000-000000000000")',
        {
            "clocksequence": 0,
            "macvariables": "global:unicast",
            "nodeid": "00-00-00-00-00-00",
            "time": 6227451273709551616,
            "variant": "RFC4122",
            "version": 1,
        },
    ),
    ('uuid.parse("6ba7b8109dad21d1e0b4 0c04fd430c8")', UNDEFINED),
    ('uuid.parse("nonsense")', UNDEFINED),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
