"""What a reload does to listening sockets."""

from __future__ import annotations

from proxy.server.moves import Moves, Place, moves

EDGE = Place("edge", "0.0.0.0:8443", tls=True, bound="0.0.0.0:8443")
FREE = Place("free", "127.0.0.1:0", tls=False, bound="127.0.0.1:40001")


def test_what_is_the_same_is_kept_port_0_too() -> None:
    new = [Place("free", "127.0.0.1:0", tls=False), Place("edge", "0.0.0.0:8443", tls=True)]
    assert moves([EDGE, FREE], new) == Moves(frozenset({"edge", "free"}), {}, (), ())


def test_what_is_new_arrives_and_what_is_no_longer_there_leaves() -> None:
    new = [Place("edge", "0.0.0.0:8443", tls=True), Place("more", "127.0.0.1:0", tls=False)]
    assert moves([EDGE, FREE], new) == Moves(frozenset({"edge"}), {}, ("more",), ("free",))


def test_a_listener_that_is_renamed_takes_the_socket_along() -> None:
    new = [Place("front", "0.0.0.0:8443", tls=True)]
    assert moves([EDGE], new) == Moves(frozenset(), {"front": "edge"}, (), ("edge",))


def test_a_listener_that_begins_to_speak_tls_begins_anew_on_its_socket() -> None:
    new = [Place("edge", "0.0.0.0:8443", tls=False)]
    assert moves([EDGE], new) == Moves(frozenset(), {"edge": "edge"}, (), ("edge",))


def test_listeners_that_change_places_change_sockets() -> None:
    other = Place("other", "0.0.0.0:9443", tls=True, bound="0.0.0.0:9443")
    new = [Place("edge", "0.0.0.0:9443", tls=True), Place("other", "0.0.0.0:8443", tls=True)]
    change = moves([EDGE, other], new)
    assert change.moving == {"edge": "other", "other": "edge"}
    assert (change.arriving, set(change.leaving)) == ((), {"edge", "other"})


def test_port_0_that_moves_is_another_port() -> None:
    assert moves([FREE], [Place("renamed", "127.0.0.1:0", tls=False)]).arriving == ("renamed",)
