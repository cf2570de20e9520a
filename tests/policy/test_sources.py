"""Which files a policy is made of, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy.sources import default_policy, read_sources


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def faults(root: Path) -> list[str]:
    sources, mistakes = read_sources(root)
    assert sources is None
    assert all(mistake.location == ("policy", "path") for mistake in mistakes)
    return [mistake.rule for mistake in mistakes]


def test_the_default_policy_is_there_and_is_read_when_none_is_named() -> None:
    assert default_policy().is_file()
    sources, mistakes = read_sources(None)
    assert sources is not None
    assert mistakes == []
    assert [module.name for module in sources.modules] == [str(default_policy())]
    assert sources.data == {}


def test_a_folder_gives_its_policies_and_its_data_at_the_path_of_their_folders(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "b.rego": "package b",
            "deep/a.rego": "package a",
            "a_test.rego": "package a_test",
            "data.json": '{"top": {"one": 1}}',
            "top/more.json": '{"two": [2]}',
            "roles/list.yaml": "- reader\n- writer\n",
            "roles.yml": "other: {x: 1.5, y: null, z: true, t: '08:00'}\n",
            "README.md": "no data",
            ".hidden.json": '{"hidden": 1}',
            "..data/b.rego": "package twice",
        },
    )
    sources, mistakes = read_sources(root)
    assert mistakes == []
    assert sources is not None
    assert [Path(module.name).name for module in sources.modules] == ["b.rego", "a.rego"]
    assert sources.data == {
        "top": {"one": 1, "two": [2]},
        "roles": ["reader", "writer"],
        "other": {"x": 1.5, "y": None, "z": True, "t": "08:00"},
    }


def test_one_file_is_read_alone(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.rego": "package a", "b.rego": "package b", "data.json": '{"x": 1}'})
    sources, _ = read_sources(root / "a.rego")
    assert sources is not None
    assert [module.text for module in sources.modules] == ["package a"]
    assert sources.data == {}


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({}, "there is no policy in it"),
        ({"a_test.rego": "package a"}, "there is no policy in it"),
        ({"a.rego": b"package \xff"}, "a.rego: must be utf-8"),
        ({"a.json": b"\xff"}, "a.json: must be utf-8"),
        ({"a.json": "{"}, "a.json: line 1 column 2: expecting property name"),
        ({"a.json": '{"a": 1, "a": 2}'}, "a.json: an object must not have a key twice"),
        ({"a.json": '{"a": {"b": 1, "b": 1}}'}, "a.json: an object must not have a key twice"),
        ({"a.json": '{"a": NaN}'}, "a.json: NaN is no JSON number"),
        ({"a.json": '{"a": 1e999}'}, "a.json: data: numbers must be finite"),
        ({"a.json": '{"a": 99999999999999999999}'}, "a.json: data: integers must fit into 64 bits"),
        ({"a.json": '{"a": "\\ud800"}'}, "a.json: data: strings must hold Unicode"),
        ({"a.json": '{"a": ' + "[" * 40 + "]" * 40 + "}"}, "a.json: data: nesting must not be deeper"),
        ({"a.json": '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}"}, "a.json: data must not nest so deep"),
        ({"a.json": "[1]"}, "a.json: data at the root must be an object"),
        ({"a.json": '{"x": 1}', "b.yaml": "x: 2"}, "b.yaml: data.x must stand in one file"),
        ({"a.json": '{"x": {"y": 1}}', "x/b.json": '{"y": {"z": 1}}'}, "b.json: data.x.y must stand in one file"),
        ({"a.yaml": "a: ["}, "a.yaml: line 1 column 5"),
        ({"a.yaml": "a: 1\na: 2"}, "a.yaml: line 1 column 1: an object must not have a key twice"),
        ({"a.yaml": "a: &x 1\nb: *x"}, "a.yaml: line 2 column 4: an alias must not be used"),
        ({"a.yaml": "a: !!python/name:os.system 1"}, "a.yaml: line 1 column 4: could not determine a constructor"),
        ({"a.yaml": "a: 1\n---\nb: 1"}, "a.yaml: line 2 column 1"),
        ({"a.yaml": "1: x"}, "a.yaml: data: keys must be strings"),
        ({"a.yaml": "a: \x00"}, "a.yaml: is no YAML"),
    ],
)
def test_a_file_that_is_none_is_a_mistake(tmp_path: Path, files: dict[str, str | bytes], fault: str) -> None:
    assert (
        fault
        in faults(
            write(tmp_path, {"zz.rego": "package z", **files} if files and "a_test.rego" not in files else files)
        )[0]
    )


@pytest.mark.parametrize(
    "scalar",
    ["yes", "No", "on", "OFF", "08:00", "18:30", "1:2:3.5", "0777", "0o7", "0x1f", "0b1", "1_000", "1e3",
      "-.5E+3", "2024-01-02",
     "2024-01-02T03:04:05Z", ".inf", "-.inf", ".NaN"],
)  # fmt: skip
def test_yaml_that_its_versions_read_differently_must_be_quoted(tmp_path: Path, scalar: str) -> None:
    root = write(tmp_path, {"a.rego": "package a", "a.yaml": f"k: [{scalar}]\n"})
    assert faults(root) == [
        f"{root / 'a.yaml'}: line 1 column 5: {scalar} means different things to different readers: quote it"
    ]
    write(tmp_path, {"a.yaml": f'k: ["{scalar}"]\n'})
    sources, _ = read_sources(root)
    assert sources is not None
    assert sources.data == {"k": [scalar]}


def test_what_is_not_there_or_is_no_policy_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, {"file": ""})
    for missing in (tmp_path / "none.rego", tmp_path / "none", tmp_path / "none" / "none", tmp_path / "file" / "none"):
        assert faults(missing) == [f"{missing}: there is no such file or folder"]
    assert "must be a .rego file or a folder" in faults(write(tmp_path, {"a.json": "{}"}) / "a.json")[0]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert len(faults(write(tmp_path, {"a.json": "{", "b.yaml": "a: [", "c.rego": b"\xff"}))) == 3
