"""Digests and message authentication codes are those of OPA."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees
from tests.policy.reference import FAILS

CASES: Cases = [
    ('crypto.md5("añ")', "62d26ce38a21f4e93a5ad6f043618bc6"),
    ('crypto.sha1("")', "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ('crypto.sha256("abc")', "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ('crypto.hmac.md5("a", "b")', "5e69fae25f4b4f3e8cc5de09a8163520"),
    ('crypto.hmac.sha1("a", "")', "7f984109f39759f3f41dba04f5183741e36f1445"),
    ('crypto.hmac.sha256("añ", "b")', "c456da74e620f536968d9f25b3b4fa7b80b61731d98610d106ecfcc0e8e81bf0"),
    (
        'crypto.hmac.sha512("a", "b")',
        "68c1687fa7cb5170ff800580a0cec29dc0ccb515aaf95587bdfe5c923730a7852e2beefefd6be31d97aa612ad8b8569bba61ed2c339cd9b28409751b0b9e96a0",
    ),
    ('crypto.hmac.equal("a", "a")', True),
    ('crypto.hmac.equal("a", "ä")', False),
    ('crypto.hmac.equal(1, "a")', FAILS),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)
