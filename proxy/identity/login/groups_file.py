"""Groups that a provider does not send: a YAML file of groups and who is in them.

    engineering: [ana@example.org, "248289761001"]     # where one issuer signs people in
    buyers: {partner: [ben@partner.example]}           # whose people, where several do

With `@` it is an e-mail address that the issuer vouches for, without it is a `sub`; for an identity is an issuer and a
subject, and no issuer shall put its people into another one's place. It reads one file, and knows no token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from proxy.config.document import parse

_BYTES: Final = 8 * 1024**2


class GroupsFile:
    """Who is in which groups.

    Args:
        groups: of each pair of an issuer's name and an address (its domain in lower case) or subject.
    """

    __slots__ = ("_groups",)

    def __init__(self, groups: dict[tuple[str, str], tuple[str, ...]]) -> None:
        self._groups = groups

    def groups_of(self, issuer: str, subject: str, email: str) -> tuple[str, ...]:
        """Return the groups of a person; `email` is one that the issuer vouches for, or empty."""
        by_subject = () if "@" in subject else self._groups.get((issuer, subject), ())
        by_email = self._groups.get((issuer, email), ()) if email else ()
        return tuple(dict.fromkeys((*by_subject, *by_email)))


def read_groups_file(path: Path, issuers: Collection[str]) -> GroupsFile:
    """Return what a groups file says.

    Args:
        path: the file.
        issuers: the names of those that sign people in.

    Raises:
        ValueError: it cannot be read, or breaks a rule; with the rule, and the line where there is one.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_BYTES + 1)
    except OSError as failed:
        raise ValueError(f"must be a readable file: {(failed.strerror or 'unknown').lower()}") from None
    if len(content) > _BYTES:
        raise ValueError(f"must have at most {_BYTES} bytes")
    document = parse(content)
    if document.mistakes:
        first = document.mistakes[0]
        raise ValueError(f"line {first.line}: {first.mistake.rule}")
    if not isinstance(document.value, dict):
        raise ValueError("must be a map from groups to people")  # noqa: TRY004 - a rule of the file
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for group, people in document.value.items():
        for issuer, person in _people(str(group), people, issuers):
            key = issuer, _spelled(person)
            found[key] = (*found.get(key, ()), str(group))
    return GroupsFile(found)


def _people(group: str, people: object, issuers: Collection[str]) -> Iterator[tuple[str, str]]:
    if isinstance(people, dict):
        by_issuer = people
    elif len(issuers) == 1:
        by_issuer = {next(iter(issuers)): people}
    else:
        raise ValueError(f'group "{group}" must name whose people it holds: several issuers sign people in')
    for issuer, names in by_issuer.items():
        if issuer not in issuers:
            raise ValueError(f'group "{group}": "{issuer}" is no issuer with a login')
        if not isinstance(names, list):
            raise ValueError(f'group "{group}" must hold a list of addresses or subjects')  # noqa: TRY004
        for name in names:
            if not isinstance(name, str) or not name:
                raise ValueError(f'group "{group}" must hold text: put numbers in quotes')
            yield str(issuer), name


def _spelled(person: str) -> str:
    local, at, domain = person.rpartition("@")
    return f"{local}@{domain.lower()}" if at else person
