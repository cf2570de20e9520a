"""A certificate chain and its private key: on disk, and in a TLS context.

Both files are read once and checked, and the bytes that were checked are the bytes that are served, however often a
context is made of them and whatever happens to the files meanwhile.
"""

from __future__ import annotations

import errno
import os
import ssl
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from proxy.config import Mistake
from proxy.config.mistake import Location
from proxy.identity.pem import key_of, load_certificates, load_key


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain (leaf first) and the key of its leaf, PEM; `not_after` of the leaf in POSIX seconds."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    not_after: float

    def load_into(self, context: ssl.SSLContext) -> None:
        """Make a context use this pair. Raise SSLError where its security level does not take the key."""
        with _on_path(self.certificate_pem) as certificate, _on_path(self.key_pem) as key:
            context.load_cert_chain(certificate, key)


def read_key_pair(certificate: Path, key: Path, location: Location, now: float) -> tuple[KeyPair | None, list[Mistake]]:
    """Read a certificate and its key.

    Args:
        certificate, key: PEM files.
        location: the section of the config that has both as `certificate` and `key`.
        now: POSIX seconds.

    Returns:
        The pair, or None where an error stands among the mistakes. An expired certificate is a warning: a gateway that
        does not start because of it is a worse outage than clients that complain.
    """
    leaf, certificate_pem, mistakes = _read_certificate(certificate, (*location, "certificate"), now)
    key_pem, wrong = read_key(key, (*location, "key"), leaf)
    mistakes += wrong
    if leaf is None or key_pem is None:
        return None, mistakes
    return KeyPair(certificate_pem, key_pem, leaf.not_valid_after_utc.timestamp()), mistakes


def pair_of(stem: Path) -> tuple[Path, Path]:
    """Return the certificate's and the key's path of a stem: `web` is `web.pem` and `web.key`."""
    return stem.with_name(stem.name + ".pem"), stem.with_name(stem.name + ".key")


def refuse_existing(files: Iterable[Path]) -> None:
    """Raise FileExistsError, naming the file, if one of them exists: a key that is overwritten is gone."""
    for file in files:
        if os.path.lexists(file):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))


def write_key_pair(stem: Path, certificate_pem: bytes, key_pem: bytes, *, force: bool = False) -> tuple[Path, Path]:
    """Write `STEM.pem` and `STEM.key`, the key readable by its owner alone, and return both paths.

    Raises:
        FileExistsError: one of them exists and `force` is not given; nothing is written then.
        OSError: one of them cannot be written.
    """
    files = pair_of(stem)
    if not force:
        refuse_existing(files)
    _write(files[0], certificate_pem, 0o644)
    _write(files[1], key_pem, 0o600)
    return files


def _write(path: Path, content: bytes, mode: int) -> None:
    # A new file each time: an old one's mode, its other names and a link in its place must not receive a key.
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def _read_certificate(
    path: Path, location: Location, now: float
) -> tuple[x509.Certificate | None, bytes, list[Mistake]]:
    try:
        pem = path.read_bytes()
        leaf = load_certificates(pem)[0]
        key_of(leaf)
    except OSError as error:
        return None, b"", [Mistake(location, f"certificate must be readable: {path}: {error.strerror}")]
    except ValueError as error:
        return None, b"", [Mistake(location, f"certificate {error}: {path}")]
    moment = datetime.fromtimestamp(now, UTC)
    rules: list[str] = []
    if moment > leaf.not_valid_after_utc:
        rules.append(f"certificate must not have expired ({leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC): {path}")
    if moment < leaf.not_valid_before_utc:
        rules.append(f"certificate must be valid by now ({leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC): {path}")
    return leaf, pem, [Mistake(location, rule, "warning") for rule in rules]


def read_key(
    path: Path, location: Location, leaf: x509.Certificate | None = None
) -> tuple[bytes | None, list[Mistake]]:
    """Read a private key that the world cannot; of a certificate, where one is given."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read()
        key = load_key(pem)
    except OSError as error:
        return None, [Mistake(location, f"key must be readable: {path}: {error.strerror}")]
    except ValueError as error:
        return None, [Mistake(location, f"key {error}: {path}")]
    if mode & stat.S_IROTH:
        return None, [Mistake(location, f"private key must not be readable by the world: {path}")]
    if leaf is not None and key.public_key() != key_of(leaf):
        return None, [Mistake(location, f"key must be the one of the certificate: {path}")]
    return pem, []


@contextmanager
def _on_path(content: bytes) -> Iterator[str]:
    """Give content the path that `load_cert_chain` insists on: in memory where the system can, for one is a key."""
    if sys.platform == "linux":
        file = open(os.memfd_create("pem"), "wb", buffering=0)  # noqa: SIM115 - closed below, on either platform
        path = f"/proc/self/fd/{file.fileno()}"
    else:
        file = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115
        path = file.name
    with file:
        file.write(content)
        yield path
