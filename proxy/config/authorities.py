"""Whose certificates are believed: trust bundles for SVIDs, and the authorities of certificates that are none.

A part of `config/schema`, which has its place in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema

from proxy.config.section import Section
from proxy.config.values import FilePath, Name


class TrustBundle(Section):
    """The authorities of one trust domain: a PEM file."""

    file: FilePath


def _bundle(value: object) -> object:
    return {"file": value} if isinstance(value, str | Path) else value


NamedBundle = Annotated[
    TrustBundle,
    BeforeValidator(_bundle),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "properties": {"file": {"type": "string", "minLength": 1}},
                    "required": ["file"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]

DeviceID = Literal[
    "subject.serial_number", "subject.common_name", "san.uri", "san.dns", "san.email", "fingerprint"
]  # fmt: skip


class DeviceAuthority(Section):
    """Authorities of certificates that are no SVIDs, and the field of these that says which device it is."""

    name: Name
    ca: FilePath
    kind: Literal["device"]
    id: DeviceID
