"""What lies with the browser while somebody signs in: sealed, bounded, and its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.http.cookies import BEGUN
from proxy.identity.sealed import Keyring
from proxy.policy.decision import StepUp
from proxy.portal.returning import Return
from proxy.portal.state import Asked, begin, begun_cookies, digest, open_asked, open_begun, seal_asked

NOW = 1_800_000_000.0
RING = Keyring.of(b"k" * 32)
ASKED = Asked(Return("wiki.example.org", "/page?q=1"), digest("nonce"), NOW, StepUp(900, ("two", "drei")), True)


def cookie_of(field: tuple[bytes, bytes]) -> tuple[bytes, bytes, int]:
    name, _, rest = field[1].partition(b"=")
    value, _, attributes = rest.partition(b"; Max-Age=")
    return name, value, int(attributes.partition(b";")[0])


def test_what_was_asked_comes_back_as_it_was() -> None:
    for asked in (ASKED, replace(ASKED, step_up=None, nonce="", another=False)):
        assert open_asked(RING, seal_asked(RING, asked), NOW) == asked


def test_what_was_begun_comes_back_to_the_browser_that_began_it() -> None:
    begun = begin("corp", ASKED, NOW)
    name, value, max_age = cookie_of(begun_cookies(RING, begun, {}, NOW)[0])
    assert max_age == 600
    assert open_begun(RING, begun.state, {name: value}, NOW + 599) == begun
    assert open_begun(RING, begun.state, {}, NOW) is None
    assert open_begun(RING, begun.state, {name: value}, NOW + 600) is None
    assert open_begun(RING, "ä\U0001f600", {name: value}, NOW) is None
    other = begin("corp", ASKED, NOW)
    assert open_begun(RING, other.state, {name: value}, NOW) is None
    moved = BEGUN + cookie_of(begun_cookies(RING, other, {}, NOW)[0])[0].removeprefix(BEGUN)
    assert open_begun(RING, other.state, {moved: value}, NOW) is None


def test_nothing_opens_that_was_sealed_for_something_else() -> None:
    begun = begin("corp", ASKED, NOW)
    name, value, _ = cookie_of(begun_cookies(RING, begun, {}, NOW)[0])
    assert open_asked(RING, value.decode(), NOW) is None
    assert open_begun(RING, begun.state, {name: seal_asked(RING, ASKED).encode()}, NOW) is None
    assert open_asked(Keyring.of(b"x" * 32), seal_asked(RING, ASKED), NOW) is None


def test_a_key_that_was_rotated_still_opens() -> None:
    rotated = Keyring({"k1": b"n" * 32, "k0": b"k" * 32})
    assert open_asked(rotated, seal_asked(RING, ASKED), NOW) == ASKED


def test_no_bit_can_be_flipped() -> None:
    sealed = seal_asked(RING, ASKED)
    for place in range(len(sealed)):
        for other in ("A", "_", "."):
            if sealed[place] != other:
                assert open_asked(RING, sealed[:place] + other + sealed[place + 1 :], NOW) is None


@pytest.mark.parametrize("text", ["", "x", "=" * 40, "A" * 9000, "%00", "ä"])
def test_what_is_not_sealed_is_nothing(text: str) -> None:
    assert open_asked(RING, text, NOW) is None


def test_a_browser_keeps_the_five_newest_sign_ins() -> None:
    jar: dict[bytes, bytes] = {}
    begun = []
    for number in range(12):
        begun.append(begin("corp", ASKED, NOW + number))
        for field in begun_cookies(RING, begun[-1], jar, NOW + number):
            name, value, max_age = cookie_of(field)
            jar.pop(name, None) if max_age == 0 else jar.update({name: value})
        assert len(jar) <= 5
    alive = [each for each in begun if open_begun(RING, each.state, jar, NOW + 12) is not None]
    assert alive == begun[-5:]


def test_cookies_that_do_not_open_make_room_first() -> None:
    jar = {BEGUN + b"%08x" % number: b"broken" for number in range(30)}
    fields = begun_cookies(RING, begin("corp", ASKED, NOW), jar, NOW)
    assert {cookie_of(field)[0] for field in fields if cookie_of(field)[2] == 0} == set(jar)


def test_the_longest_sign_in_fits_into_a_cookie() -> None:
    back = Return("a" * 253 + ":65535", "/" + '"' * 959)
    asked = Asked(back, digest("n"), NOW, StepUp(2**31, tuple("ä" * 60 for _ in range(9))), True)
    name, value, _ = cookie_of(begun_cookies(RING, begin("p" * 63, asked, NOW), {}, NOW)[0])
    assert len(name) + 1 + len(value) <= 4096


def test_secrets_have_256_bits_and_do_not_repeat() -> None:
    made = [begin("corp", ASKED, NOW) for _ in range(1000)]
    secrets = {secret for each in made for secret in (each.state, each.nonce, each.verifier)}
    assert len(secrets) == 3000
    assert {len(secret) for secret in secrets} == {43}


def test_what_was_asked_expires_by_itself_and_can_be_renewed() -> None:
    assert not ASKED.expired(NOW + 599)
    assert ASKED.expired(NOW + 600)
    assert ASKED.expired(NOW - 61)
    assert not ASKED.renewed(NOW + 700, another=True).expired(NOW + 700)
