"""Pictures that an operator gives us: the brand's logo and the routes' icons, SVG or PNG.

A picture is shown by `<img>`, where an SVG runs no script; fetched by itself it comes with a policy under which it runs
none either (`assets`). What is no picture, or too large to belong into a page, is refused when the config is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

LARGEST: Final = 256 * 1024  # bytes
_PNG = b"\x89PNG\r\n\x1a\n"
# A prologue, comments and white space may stand before the root element; a document type may not (entities).
_SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<svg[\s>]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, under a name that is its content's.

    Args:
        name: as it is asked for below `static/`.
        content_type: `image/svg+xml` or `image/png`.
        body: the file.
    """

    name: str
    content_type: str
    body: bytes = field(repr=False)


def read_picture(path: Path) -> Picture:
    """Return the picture of a file.

    Raises:
        ValueError: it is absent, no SVG or PNG, or larger than `LARGEST`.
    """
    try:
        with path.open("rb") as stream:
            body = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no valid path"
        raise ValueError(f"{path} cannot be read: {reason.lower()}") from None
    if len(body) > LARGEST:
        raise ValueError(f"a picture must not be larger than {LARGEST // 1024} KiB")
    if body.startswith(_PNG):
        return Picture(_name(body, "png"), "image/png", body)
    if _SVG.match(body[:4096]):
        return Picture(_name(body, "svg"), "image/svg+xml", body)
    raise ValueError("a picture must be an SVG without a document type, or a PNG")


def _name(body: bytes, kind: str) -> str:
    return f"picture-{sha256(body).hexdigest()[:16]}.{kind}"
