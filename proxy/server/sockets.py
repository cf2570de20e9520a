"""Listening sockets: bound by address, closed with their name; and the sockets of one address for several processes.

A Unix socket's file may have been replaced by another process, or by our own next listener at the same path, so it is
unlinked only while it is still the one that was bound here.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from proxy.config.address import Address

_BACKLOG = 1024


class ListeningSocket:
    """A bound socket that listens. Raise OSError where its address is taken or not ours.

    Args:
        address: where; port 0 is any free one.
        group: `first` for one that others of this process may join later, `next` for one that joins.
    """

    __slots__ = ("_file", "_path", "socket")

    def __init__(self, address: Address, group: Literal["alone", "first", "next"] = "alone") -> None:
        self._path = address.path
        if address.kind == "unix":
            _remove_left_behind(address.path)
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._bind(address, group)
            self.socket.listen(_BACKLOG)
            self.socket.setblocking(False)
        except BaseException:
            self.socket.close()
            raise
        self._file = _identity(self._path) if self._path else None

    @classmethod
    def handed(cls, descriptor: int) -> ListeningSocket:
        """Return the socket of a descriptor that another process has bound, which alone may unlink its name."""
        self = object.__new__(cls)
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(False)
        self._path = self.socket.getsockname() if self.socket.family == socket.AF_UNIX else ""
        self._file = None
        return self

    @property
    def address(self) -> str:
        """The address as the config spells it, with the port that the kernel chose for port 0."""
        if self._path:
            return f"unix:{self._path}"
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if self.socket.family == socket.AF_INET6 else f"{host}:{port}"

    def unlink(self) -> None:
        """Take a Unix socket's name away; what is connected stays so."""
        if self._file is not None and _identity(self._path) == self._file:
            with suppress(OSError):
                Path(self._path).unlink()

    def close(self) -> None:
        """Stop listening."""
        self.unlink()
        self.socket.close()

    def _bind(self, address: Address, group: str) -> None:
        if address.kind == "unix":
            self.socket.bind(address.path)
            return
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.socket.family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if group == "next":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind((address.host, address.port))
        # Only now: bound with it, the address of another process of this user would not be taken but shared.
        if group == "first":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def bind_group(address: Address, count: int) -> list[ListeningSocket]:
    """Return the sockets of one address for `count` processes, among which the kernel shares out the connections.

    A Unix socket cannot be shared out: it is one, which all accept from. Raise OSError as one socket does.
    """
    if address.kind == "unix":
        return [ListeningSocket(address)] * count
    sockets = [ListeningSocket(address, "first")]
    try:
        same = replace(address, port=sockets[0].socket.getsockname()[1])
        for _ in range(count - 1):
            sockets.append(ListeningSocket(same, "next"))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def unbound(error: OSError, name: str, address: str) -> OSError:
    """Return the error of a socket that could not be bound, with whose it is."""
    return OSError(error.errno, f"{name}: {address}: {error.strerror or error}")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove_left_behind(path: str) -> None:
    """Remove the socket of a process that was killed; raise OSError where one still listens on it."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
