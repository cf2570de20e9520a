from __future__ import annotations

from pathlib import Path

import pytest

from proxy.identity.login.groups_file import GroupsFile, read_groups_file


def read(folder: Path, text: str, *issuers: str) -> GroupsFile:
    file = folder / "groups.yaml"
    file.write_text(text)
    return read_groups_file(file, issuers or ("corp",))


def test_people_are_in_groups_by_subject_and_by_vouched_address(tmp_path: Path) -> None:
    file = read(tmp_path, 'ops: [ana@Example.org, "7"]\nadmins: ["7"]\n')
    assert file.groups_of("corp", "7", "") == ("ops", "admins")
    assert file.groups_of("corp", "8", "ana@example.org") == ("ops",)
    assert file.groups_of("corp", "8", "Ana@example.org") == ()
    assert file.groups_of("corp", "8", "") == ()


def test_a_subject_that_looks_like_an_address_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, "ops: [ana@example.org]").groups_of("corp", "ana@example.org", "") == ()


def test_people_of_one_issuer_are_not_those_of_another(tmp_path: Path) -> None:
    file = read(tmp_path, 'ops: {corp: ["7"], partner: [ben@partner.example]}', "corp", "partner")
    assert file.groups_of("corp", "7", "") == ("ops",)
    assert file.groups_of("partner", "7", "") == ()
    assert file.groups_of("corp", "1", "ben@partner.example") == ()


@pytest.mark.parametrize(
    ("text", "issuers", "rule"),
    [
        ("- ops", ("corp",), "map"),
        ("ops: ana", ("corp",), "list"),
        ("ops: [7]", ("corp",), "quotes"),
        ("ops: [ana@example.org]", ("corp", "partner"), "whose people"),
        ("ops: {other: [ana]}", ("corp", "partner"), "no issuer"),
        ("ops: [", ("corp",), "line 1"),
        ("ops: [a]\nops: [b]", ("corp",), "line 2"),
    ],
)
def test_a_groups_file_is_mistaken_that_has(tmp_path: Path, text: str, issuers: tuple[str, ...], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        read(tmp_path, text, *issuers)


def test_a_groups_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="readable"):
        read_groups_file(tmp_path / "absent", ("corp",))
