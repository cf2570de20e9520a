"""The line that says whom to ask, with the one address in it that can be followed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

_LINK = re.compile(
    r"https://[^\s<>\"']+[^\s<>\"'.,;:!?)]|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Contact:
    """A line of text around a link.

    Args:
        before, label, after: the line; without a link all of it stands before.
        link: where the label leads, or empty.
    """

    before: str
    label: str = ""
    link: str = ""
    after: str = ""

    def __bool__(self) -> bool:
        """Tell whether there is anybody to ask."""
        return bool(self.before or self.label)

    def about(self, request_id: str) -> Contact:
        """Return it for one request: an e-mail begins with its reference."""
        if not self.link.startswith("mailto:"):
            return self
        return Contact(self.before, self.label, f"{self.link}?subject={quote(request_id, safe='')}", self.after)


def contact_of(line: str) -> Contact:
    """Return the contact of a line of text; its first e-mail address or https URL is the link."""
    match = _LINK.search(line)
    if match is None:
        return Contact(line)
    found = match[0]
    link = found if found.startswith("https://") else f"mailto:{found}"
    return Contact(line[: match.start()], found, link, line[match.end() :])
