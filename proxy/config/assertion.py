"""What the config says of signed assertions, and the header sets by which upstreams are told who is calling."""

from __future__ import annotations

from typing import Annotated, Literal

from proxy.config.section import Section
from proxy.config.values import FilePath, NonEmpty

HeaderSet = Literal["ztproxy", "oauth2-proxy", "authelia", "pomerium"]


class Assertion(Section):
    """The keys that sign assertions: the first signs, and all of them are published."""

    key_files: Annotated[tuple[FilePath, ...], NonEmpty]
