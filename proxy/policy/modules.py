"""Rego files as regorus hands them out, read into their package, imports and rules.

What the two engines would read differently, an import's name or a default's, is noted and not judged further: the
analysis reports it.
"""

from __future__ import annotations

from proxy.policy.syntax import Module, Node, Rule, Unreadable, part, reference


def read_module(tree: Node) -> Module:
    """Return a module of the syntax tree of one file. Raise Unreadable."""
    source, ast = tree["source"], tree["ast"]
    if tree["version"] != 1 or not ast["rego_v1"]:
        raise Unreadable(f"{source['file']}: the syntax tree must be one of rego v1")
    head, steps = reference(ast["package"]["refr"])
    package = (part(head)[1]["value"], *(step for step in steps if isinstance(step, str)))
    module = Module(source["file"], source["contents"].encode(), package)
    for entry in ast["imports"]:
        _read_import(module, entry)
    module.rules = [_read_rule(module, rule) for rule in ast["rules"]]
    return module


def _read_import(module: Module, entry: Node) -> None:
    head, steps = reference(entry["refr"])
    path = (part(head)[1]["value"], *(step for step in steps if isinstance(step, str)))
    if path[:2] == ("future", "keywords") or path == ("rego", "v1"):
        return
    if path[0] not in ("data", "input") or len(path) != len(steps) + 1:
        module.misread.append(module.problem(entry["span"], "an import must be of data, input or rego.v1"))
    alias = module.name_at(entry["as"]) if entry.get("as") else path[-1]
    if alias in ("data", "input") and path != (alias,):
        module.misread.append(module.problem(entry["span"], f"an import must not be called {alias}"))
    elif alias in module.imports:
        module.misread.append(module.problem(entry["span"], f"two imports must not be called {alias}"))
    module.imports[alias] = path


def _read_rule(module: Module, rule: Node) -> Rule:
    kind, content = part(rule)
    if kind == "Default":
        if part(content["refr"])[0] == "RefBrack":
            fault = "a default must not have a name that ends in brackets, or in a keyword: this engine passes it over"
            module.misread.append(module.problem(content["span"], f"{fault}; use engine: opa"))
        return _made(module, "default", content, content["args"], value=content["value"])
    if kind != "Spec":
        raise Unreadable(f"a rule of the kind {kind} is not known")
    head_kind, head = part(content["head"])
    if head_kind == "Set":
        made = _made(module, "set", head, [], key=head["key"])
    elif head_kind in ("Compr", "Func"):
        value = head["assign"]["value"] if head["assign"] else None
        made = _made(
            module, "complete" if head_kind == "Compr" else "function", head, head.get("args", []), value=value
        )
        if head_kind == "Compr" and any(not isinstance(step, str) for step in made.steps):
            made.kind = "object"
    else:
        raise Unreadable(f"a rule head of the kind {head_kind} is not known")
    made.end = content["span"]["end"]
    for body in content["bodies"]:
        made.bodies.append((body["assign"]["value"] if body["assign"] else None, body["query"]))
    return made


def _made(
    module: Module, kind: str, head: Node, arguments: list[Node], *, key: Node | None = None, value: Node | None = None
) -> Rule:
    first, more = reference(head["refr"])
    steps: list[str | Node] = [part(first)[1]["value"], *more]
    # A number in a head is as good as computed.
    path = (*module.package, *(step if isinstance(step, str) else None for step in steps))
    return Rule(module, path, steps, kind, head["span"], arguments, key, value)
