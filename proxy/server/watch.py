"""Whether a file that matters has changed, by its time, size and inode.

Files are looked at before they are read, so that what changes in between is another print the next time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.config.schema import Config

WATCH_SECONDS = 1.0

Prints = dict[str, tuple[int, int, int]]


def watched_files(path: Path, config: Config) -> list[Path]:
    """Return the config file and every file and directory that it names and a snapshot reads."""
    named: list[Path | None] = [path, config.policy.path]
    for listener in config.listeners:
        if listener.tls is not None:
            named += [listener.tls.certificate, listener.tls.key]
            for pair in listener.tls.certificates:
                named += [pair.certificate, pair.key]
    named += [bundle.file for bundle in config.identity.trust_bundles.values()]
    named += [issuer.ca for issuer in config.identity.issuers.values()]
    named += config.assertion.key_files if config.assertion is not None else ()
    named.append(config.session.keys_file)
    named.append(config.identity.groups_file)
    for issuer in config.identity.issuers.values():
        if issuer.login is not None:
            named += [issuer.login.client_key_file, _secret_path(issuer.login.client_secret_file)]
    named += [upstream.tls.ca for upstream in config.upstreams.values()]
    if (opa := config.policy.opa) is not None:
        named += [opa.ca, opa.certificate, opa.key]
        named.append(_secret_path(opa.token_file))
    return [file for file in named if file is not None]


def _secret_path(secret: str | None) -> Path | None:
    """Return the file of a secret, or None where there is none or it is in the environment."""
    return None if secret is None or secret.startswith("env:") else Path(secret)


def fingerprints(files: Iterable[Path]) -> Prints:
    """Return device-independent marks of files, and of everything in those that are directories."""
    prints: Prints = {}
    for file in files:
        for each in _with_contents(file):
            with suppress(OSError):  # absent, or swapped in this moment: then it is another print the next time
                status = os.stat(each)
                prints[str(each)] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return prints


def prints_of(prints: Prints, files: list[Path]) -> Prints:
    """Return the marks of these files, and of what is in those that are directories."""
    return {
        name: seen
        for name, seen in prints.items()
        if any(file in (path := Path(name), *path.parents) for file in files)
    }


def _with_contents(file: Path) -> list[Path]:
    try:
        return [file, *file.rglob("*")] if file.is_dir() else [file]
    except OSError:
        return [file]
