"""What pages load: our stylesheet, our mark, and the operator's pictures; each under a name that changes with it.

Read from the package once. A name holds a digest of the content, so that browsers keep it for good. Each comes with a
policy of its own: opened as a document, an SVG runs nothing and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from typing import Final

from proxy.http.respond import Answer
from proxy.portal.picture import Picture

PATH: Final = "/.ztproxy/static/"
_CONTENT_TYPES: Final = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_CSP: Final = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


class Assets:
    """Every file that pages load.

    Args:
        pictures: the operator's.
    """

    def __init__(self, pictures: Iterable[Picture] = ()) -> None:
        self._paths: dict[str, str] = {}
        self._answers = {picture.name: _answer(picture.content_type, picture.body) for picture in pictures}
        for file in files("proxy.portal").joinpath("static").iterdir():
            stem, _, kind = file.name.rpartition(".")
            if kind in _CONTENT_TYPES:
                body = file.read_bytes()
                name = f"{stem}-{sha256(body).hexdigest()[:16]}.{kind}"
                self._paths[file.name] = PATH + name
                self._answers[name] = _answer(_CONTENT_TYPES[kind], body)

    def path(self, file: str) -> str:
        """Return the path of one of our own files. Raise KeyError where there is none."""
        return self._paths[file]

    def answer(self, name: str) -> Answer | None:
        """Return the answer to whoever asks for a name below `static/`, or None where there is no such file."""
        return self._answers.get(name)


def _answer(content_type: str, body: bytes) -> Answer:
    fields = [
        (b"content-type", content_type.encode()),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"content-security-policy", _CSP),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Answer(200, b"OK", fields, body)
