"""The nouns of the analysis: what names mean at one place of a policy, and what an expression does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from proxy.policy.syntax import Module, Node, Query, expressions

Names = frozenset[str]
NO_NAMES: Names = frozenset()


@dataclass(frozen=True, slots=True)
class Flow:
    """What an expression needs to be bound, what it binds, and whether a `_` in it runs over something."""

    needs: Names = NO_NAMES
    gives: Names = NO_NAMES
    iterates: bool = False

    def __or__(self, other: Flow) -> Flow:
        return Flow(self.needs | other.needs, self.gives | other.gives, self.iterates or other.iterates)

    def negated(self, bound: Names) -> Flow:
        """Return the flow under `not`, where nothing is bound."""
        return Flow(self.needs | (self.gives - bound) | (frozenset("_") if self.iterates else NO_NAMES))


NO_FLOW: Final = Flow()


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at one place of a rule.

    Args:
        module: the file.
        global_names: rules of the package, imports, `input` and `data`.
        declared: variables declared here or around.
        bound: variables that have a value by now.
        visible: variables of this query and of those around it, bound or not.
    """

    module: Module
    global_names: Names
    declared: Names = NO_NAMES
    bound: Names = NO_NAMES
    visible: Names = NO_NAMES

    def is_local(self, name: str) -> bool:
        """Tell whether a name is a variable here."""
        return name in self.declared or name not in self.global_names

    def binding(self, names: Names) -> Scope:
        """Return the scope behind what binds names."""
        names = names - {"_"}
        return Scope(self.module, self.global_names, self.declared, self.bound | names, self.visible | names)

    def inside(self, declared: Names) -> Scope:
        """Return the scope of a query in which names are declared: they hide the ones around."""
        return Scope(
            self.module,
            self.global_names,
            self.declared | declared,
            self.bound - declared,
            self.visible - declared,
        )


@dataclass(slots=True)
class Statement:
    """One statement, or an expression of the rule's head, which binds like one.

    Args:
        kind, content, modifiers: as of `syntax.literals`.
        query: in which it stands; of a head, the body that belongs to it.
        node: the whole of it in the tree, or None: it is a head.
    """

    kind: str
    content: Any
    modifiers: list[Node]
    query: Query
    node: Node | None

    @property
    def is_head(self) -> bool:
        """Tell whether it is no statement that is written in the body."""
        return self.node is None

    def roots(self) -> list[Node]:
        """Return its expressions, those of its modifiers too."""
        return [*expressions(self.kind, self.content), *(modifier["as"] for modifier in self.modifiers)]
