"""The policy's files: which are read, and how data files become one document.

It knows the disk and nothing of Rego: a module is a name and a text. The rules are those of `opa run`: what a data file
holds stands at the path of its folder, below the one that was named. Stricter than there: names that begin with a dot
are passed over (a Kubernetes volume shows each file twice), and YAML that its versions read differently is a mistake.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Final

import yaml

from proxy.config.mistake import Mistake
from proxy.policy.scalars import find_fault

PACKAGE: Final = Path(__file__).resolve().parent
_HERE: Final = ("policy", "path")
# What is beside a policy and is none of it, nor its data: tests in Rego, and tables of tests.
TESTS: Final = ("_test.rego", ".policy.yaml")


@dataclass(frozen=True, slots=True)
class Module:
    """One Rego file."""

    name: str
    text: str


@dataclass(slots=True)
class Sources:
    """All modules and the merged data."""

    modules: list[Module] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


def default_policy() -> Path:
    """Return the policy that ships with ztproxy: inside the installed package, or the checkout's."""
    shipped = PACKAGE / "shipped" / "authz.rego"
    return shipped if shipped.exists() else PACKAGE.parents[1] / "policies" / "authz.rego"


def read_sources(path: Path | None) -> tuple[Sources | None, list[Mistake]]:
    """Read a Rego file, or a folder of Rego and data files; None is the default policy.

    Tests (`…_test.rego`, `….policy.yaml`) are not read: what is loaded to serve is what decides.
    """
    root = path or default_policy()
    sources, mistakes = Sources(), []
    try:
        is_folder = S_ISDIR(root.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None, [Mistake(_HERE, f"{root}: there is no such file or folder")]
    except OSError as error:
        return None, [Mistake(_HERE, f"{root}: {error.strerror or 'cannot be read'}")]
    if is_folder:
        for file in _files(root):
            mistakes += [Mistake(_HERE, f"{file}: {fault}") for fault in _add(sources, root, file)]
    elif root.suffix == ".rego":
        mistakes += [Mistake(_HERE, f"{root}: {fault}") for fault in _add(sources, root.parent, root)]
    else:
        mistakes.append(Mistake(_HERE, f"{root}: must be a .rego file or a folder of them"))
    if not sources.modules and not mistakes:
        mistakes.append(Mistake(_HERE, f"{root}: there is no policy in it"))
    return (None if mistakes else sources), mistakes


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _add(sources: Sources, root: Path, file: Path) -> list[str]:
    """Add what a file holds; return what is wrong with it."""
    if file.name.endswith(TESTS):
        return []
    read = _READERS.get(file.suffix)
    if file.suffix != ".rego" and read is None:
        return []
    try:
        text = file.read_text(encoding="utf-8")
        if read is None:
            sources.modules.append(Module(str(file), text))
            return []
        value = read(text)
    except OSError as error:
        return [error.strerror or "cannot be read"]
    except UnicodeDecodeError:
        return ["must be utf-8"]
    except RecursionError:
        return ["data must not nest so deep"]
    except ValueError as error:
        return [str(error)]
    if (fault := find_fault(value)) is not None:
        return [f"data: {fault}"]
    for folder in reversed(file.relative_to(root).parent.parts):
        value = {folder: value}
    if not isinstance(value, dict):
        return ["data at the root must be an object"]
    return _merge(sources.data, value, ())


def _merge(into: dict[str, Any], value: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    faults: list[str] = []
    for key, item in value.items():
        if key not in into:
            into[key] = item
        elif isinstance(into[key], dict) and isinstance(item, dict):
            faults += _merge(into[key], item, (*path, key))
        else:
            faults.append(f"data.{'.'.join((*path, key))} must stand in one file")
    return faults


def _read_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("an object must not have a key twice")
    return out


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


# YAML 1.1 and 1.2 disagree about these: `on`, `08:00`, `0777`, `1_000`, `1e3`, dates. OPA's reader and PyYAML do, too.
_AMBIGUOUS: Final = re.compile(
    r"(?i:yes|no|on|off)"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?0[0-9_]+|[-+]?0[xob][0-9a-fA-F_]+"
    r"|[-+]?[0-9][0-9_]*_[0-9_]*"
    r"|[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+"
    r"|[-+]?\.(?i:inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
)


class _Loader(yaml.SafeLoader):
    """YAML as JSON: no ambiguous scalar, no key twice, keys that are strings, no alias."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        out = super().construct_mapping(node, deep=deep)
        if len(out) < len(node.value):
            raise ValueError(f"{_place(node)}: an object must not have a key twice")
        return out

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError(f"{_place(self.peek_event())}: an alias must not be used")  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and node.style is None and _AMBIGUOUS.fullmatch(node.value):
            raise ValueError(f"{_place(node)}: {node.value} means different things to different readers: quote it")
        return super().construct_object(node, deep=deep)


def _place(node: Any) -> str:
    return f"line {node.start_mark.line + 1} column {node.start_mark.column + 1}"


def read_yaml(text: str) -> object:
    """Return what YAML holds. Raise ValueError, also for what its versions read in different ways."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1} column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(f"{where}{error.problem or 'is no YAML'}") from None
    except yaml.YAMLError:
        raise ValueError("is no YAML") from None


_READERS: Final[dict[str, Callable[[str], object]]] = {".json": _read_json, ".yaml": read_yaml, ".yml": read_yaml}
