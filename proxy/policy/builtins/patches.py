"""`json.patch`: RFC 6902 as OPA has it, with sets and without the leading slash that the RFC wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from proxy.policy.builtins.documents import Path, read_path, same
from proxy.policy.builtins.operands import array

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_MOST_VALUES: Final = 100_000  # copies of copies double with each step


def json_patch(value: object, operations: object) -> Any:
    """Return a document after a list of operations; the first that cannot be done fails the call."""
    for operation in array(operations):
        if not isinstance(operation, dict) or "path" not in operation or "op" not in operation:
            raise ValueError("an operation must be an object with op and path")
        apply = _OPERATIONS.get(operation["op"]) if isinstance(operation["op"], str) else None
        if apply is None:
            raise ValueError("an operation must be add, remove, replace, move, copy or test")
        value = apply(value, read_path(operation["path"]), operation)
    _check_size(value)
    return value


def _check_size(value: Any) -> None:
    rest, seen = [value], 0
    while rest:
        node = rest.pop()
        seen += 1
        if seen + len(rest) > _MOST_VALUES:
            raise ValueError(f"a patched document must not have more than {_MOST_VALUES} values")
        if isinstance(node, dict):
            rest += node.values()
        elif isinstance(node, list | set | frozenset):
            rest += node


def _add(value: Any, path: Path, operation: dict[str, Any]) -> Any:
    return _inserted(value, path, _value(operation))


def _remove(value: Any, path: Path, operation: dict[str, Any]) -> Any:
    if not path:
        raise ValueError("an operation must not remove the whole document")
    return _deleted(value, path)


def _replace(value: Any, path: Path, operation: dict[str, Any]) -> Any:
    return _inserted(_deleted(value, path) if path else value, path, _value(operation))


def _move(value: Any, path: Path, operation: dict[str, Any]) -> Any:
    start = _from(operation)
    if not start:
        raise ValueError("an operation must not move the whole document")
    return _inserted(_deleted(value, start), path, _at(value, start))


def _copy(value: Any, path: Path, operation: dict[str, Any]) -> Any:
    return _inserted(value, path, _at(value, _from(operation)))


def _test(value: Any, path: Path, operation: dict[str, Any]) -> Any:
    if not same(_at(value, path), _value(operation)):
        raise ValueError("a test of the patch must hold")
    return value


_OPERATIONS: Final[dict[str, Callable[[Any, Path, dict[str, Any]], Any]]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise ValueError("an operation must have the value that it needs")
    return operation["value"]


def _from(operation: dict[str, Any]) -> Path:
    if "from" not in operation:
        raise ValueError("an operation must say where it moves or copies from")
    return read_path(operation["from"])


def _at(node: Any, path: Path) -> Any:
    """Return what stands at a path."""
    for step in path:
        node = _child(node, step)
    return node


def _child(node: Any, step: Any) -> Any:
    if isinstance(node, list):
        return node[_index(step, len(node))]
    if isinstance(node, dict | set | frozenset) and _is_key(step) and step in node:
        return node[step] if isinstance(node, dict) else step
    raise ValueError("a path must lead to what is there")


def _inserted(node: Any, path: Path, value: Any) -> Any:
    """Return a node with a value at a path below it, and nothing else of it changed."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if rest:
        return _with(node, step, _inserted(_child(node, step), rest, value))
    if isinstance(node, list):
        place = _index(step, len(node), behind=True)
        return [*node[:place], value, *node[place:]]
    if isinstance(node, dict) and _is_key(step):
        return {**node, step: value}
    if isinstance(node, set | frozenset) and _is_key(step) and same(step, value):
        return {*node, step}
    raise ValueError("a path must lead to a place where a value can stand")


def _with(node: Any, step: Any, child: Any) -> Any:
    if isinstance(node, list):
        place = _index(step, len(node))
        return [*node[:place], child, *node[place + 1 :]]
    if isinstance(node, dict):
        return {**node, step: child}
    raise ValueError("a path must not lead into what a set holds")


def _deleted(node: Any, path: Path) -> Any:
    """Return a node without what stands at a path below it."""
    step, rest = path[0], path[1:]
    child = _child(node, step)
    if rest:
        return _with(node, step, _deleted(child, rest))
    if isinstance(node, list):
        place = _index(step, len(node))
        return node[:place] + node[place + 1 :]
    if isinstance(node, dict):
        return {key: item for key, item in node.items() if key != step}
    return {item for item in node if item != step}


def _index(step: Any, length: int, *, behind: bool = False) -> int:
    """Return an index of an array; `-` is the place behind its end, where a value can be added."""
    if step == "-" and behind:
        return length
    if type(step) is str and _INDEX.fullmatch(step):
        step = int(step)
    if type(step) is not int or not 0 <= step < length + behind:
        raise ValueError("a path must have an index that the array has")
    return step


def _is_key(step: Any) -> bool:
    return isinstance(step, str | int | float) or step is None
