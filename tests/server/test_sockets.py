"""Listening sockets of several processes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from proxy.config.address import parse_address
from proxy.server.sockets import ListeningSocket, bind_group


def test_the_kernel_shares_out_connections_among_the_sockets_of_an_address() -> None:
    group = bind_group(parse_address("127.0.0.1:0"), 3)
    assert len({sock.address for sock in group}) == 1
    clients = [socket.create_connection(group[0].socket.getsockname()) for _ in range(60)]
    taken = [accepted(sock) for sock in group]
    assert sum(taken) == 60
    assert all(taken)
    for sock in (*clients, *group):
        sock.close()


def accepted(sock: ListeningSocket) -> int:
    number = 0
    while True:
        try:
            sock.socket.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


@pytest.mark.parametrize("count", [1, 2])
def test_an_address_that_a_group_has_is_taken(count: int) -> None:
    group = bind_group(parse_address("127.0.0.1:0"), 2)
    with pytest.raises(OSError, match="Address already in use"):
        bind_group(parse_address(group[0].address), count)
    with pytest.raises(OSError, match="Address already in use"):
        ListeningSocket(parse_address(group[0].address))
    for sock in group:
        sock.close()


def test_a_unix_socket_is_one_that_all_share_and_who_was_handed_it_leaves_its_name(tmp_path: Path) -> None:
    one, other = bind_group(parse_address(f"unix:{tmp_path}/edge.sock"), 2)
    assert one is other
    handed = ListeningSocket.handed(os.dup(one.socket.fileno()))
    assert handed.address == one.address == f"unix:{tmp_path}/edge.sock"
    handed.close()
    assert (tmp_path / "edge.sock").exists()
    one.close()
    assert not (tmp_path / "edge.sock").exists()


def test_connections_wait_in_a_socket_as_long_as_anybody_holds_it() -> None:
    first, second = bind_group(parse_address("127.0.0.1:0"), 2)
    handed = [ListeningSocket.handed(os.dup(sock.socket.fileno())) for sock in (first, second)]
    clients = [socket.create_connection(first.socket.getsockname()) for _ in range(20)]
    for sock in handed:
        sock.close()
    assert accepted(first) + accepted(second) == 20
    for sock in (*clients, first, second):
        sock.close()
