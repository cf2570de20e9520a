"""Built-ins that take documents apart: arrays, objects and sets within one another, and graphs."""

from __future__ import annotations

from typing import Any, Final

from proxy.policy.builtins.operands import array, mapping, members, whole

Path = tuple[Any, ...]

_MOST_PATHS: Final = 10_000  # a graph of a few nodes has as many paths as their orders
_MOST_STEPS: Final = 1_000_000  # that are gone, or compared


def array_slice(value: object, start: object, stop: object) -> list[Any]:
    """Return the elements from `start` up to `stop`, each brought into the array's bounds."""
    items = array(value)
    first, last = max(whole(start), 0), min(whole(stop), len(items))
    return items[first:last] if first < last else []


def array_flatten(value: object) -> list[Any]:
    """Return an array with what its arrays hold in their place, one level deep."""
    out: list[Any] = []
    for item in array(value):
        out += item if isinstance(item, list) else [item]
    return out


def read_path(path: object) -> Path:
    """Return the steps of a path: `a/b` with ~1 for a slash and ~0 for a tilde, or an array of them."""
    if type(path) is str:
        steps = path.lstrip("/").split("/") if path else []
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)
    if isinstance(path, list | tuple):
        return tuple(path)
    raise ValueError("a path must be a string or an array of its steps")


def _tree(paths: object) -> dict[Any, Any]:
    """Return what some paths lead to, as objects in objects; None is the end of a path."""
    root: dict[Any, Any] = {}
    for path in map(read_path, members(paths)):
        node: Any = root
        for step in path[:-1]:
            node = node.setdefault(step, {})
            if node is None:
                break
        if path and node is not None:
            node[path[-1]] = None
    return root


def json_filter(value: object, paths: object) -> Any:
    """Return what paths lead to, and nothing else of an object."""
    return _kept(mapping(value), _tree(paths))


def _kept(value: Any, tree: dict[Any, Any] | None) -> Any:
    if tree is None:
        return value
    if isinstance(value, dict):
        return {key: _kept(value[key], below) for key, below in tree.items() if key in value}
    if isinstance(value, list | tuple):
        return [_kept(item, tree[str(index)]) for index, item in enumerate(value) if str(index) in tree]
    if isinstance(value, set | frozenset):
        return {item for item in value if item in tree}
    return value


def json_remove(value: object, paths: object) -> Any:
    """Return an object without what paths lead to; arrays close up."""
    return _left(mapping(value), _tree(paths))


def _left(value: Any, tree: dict[Any, Any]) -> Any:
    if isinstance(value, dict):
        return {
            key: _left(item, tree[key]) if key in tree else item
            for key, item in value.items()
            if tree.get(key, "") is not None
        }
    if isinstance(value, list | tuple):
        keys = [str(index) for index in range(len(value))]
        return [
            _left(item, tree[key]) if key in tree else item
            for key, item in zip(keys, value, strict=True)
            if tree.get(key, "") is not None
        ]
    if isinstance(value, set | frozenset):
        return {item for item in value if tree.get(item, "") is not None}
    return value


def object_subset(whole_value: object, part: object) -> bool:
    """Tell whether an object, set or array is in another one of its kind, or a set in an array.

    An array is in another one where it stands there in one piece. Of an array and a set OPA counts how many elements of
    the array are in the set, repeated ones too.
    """
    if isinstance(whole_value, list) and isinstance(part, set | frozenset):
        return bool(whole_value) and sum(item in part for item in map(_hashed, whole_value)) >= len(part)
    for kind in (dict, list, (set, frozenset)):
        if isinstance(whole_value, kind) and isinstance(part, kind):
            return _holds(whole_value, part)
    raise ValueError("operands must be of one kind, or an array and a set")


def _holds(value: Any, part: Any) -> bool:
    if same(value, part):
        return True
    if isinstance(value, dict) and isinstance(part, dict):
        return all(key in value and _holds(value[key], item) for key, item in part.items())
    if isinstance(value, set | frozenset) and isinstance(part, set | frozenset):
        return part <= value
    if isinstance(value, list) and isinstance(part, list):
        places = range(len(value) - len(part) + 1)
        if len(places) * len(part) > _MOST_STEPS:
            raise ValueError("arrays must not be so long that one is looked for in the other")
        return any(same(value[place : place + len(part)], part) for place in places)
    return False


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal as Rego has it: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(item, right[key]) for key, item in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _hashed(item: Any) -> Any:
    return tuple(map(_hashed, item)) if isinstance(item, list) else () if isinstance(item, dict) else item


def reachable_paths(graph: object, initial: object) -> set[Path]:
    """Return the paths from some nodes along a graph's edges, each up to where it ends, leaves it or meets itself."""
    edges = {node: _edges(below) for node, below in mapping(graph).items()}
    found: set[Path] = set()
    for node in members(initial):
        if node not in edges:
            continue
        if not edges[node]:
            found.add((node,))
        for neighbour in edges[node]:
            _follow(edges, neighbour, (node,), found)
    return found


def _edges(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | set | frozenset) else []


def _follow(edges: dict[Any, list[Any]], start: Any, before: Path, found: set[Path]) -> None:
    rest, steps = [(start, before)], 0
    while rest:
        node, path = rest.pop()
        steps += len(path)
        path = (*path, node) if node in edges else path
        if not edges.get(node):
            found.add(path)
        for neighbour in edges.get(node, ()):
            if neighbour in path:
                found.add(path)
            else:
                rest.append((neighbour, path))
        if len(found) + len(rest) > _MOST_PATHS or steps > _MOST_STEPS:
            raise ValueError(f"a graph must not have more than {_MOST_PATHS} paths")
