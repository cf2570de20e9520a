"""The part of the input document that a policy reads: built alone, and told apart without being built.

A plan is compiled once for what a rule reads. `build` makes that part of the document and nothing else; `tell` takes
the same values where they lie, for the memory of decisions. Nothing else is shown to an engine, so no answer can rest
on what does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from operator import attrgetter
from typing import Any

from proxy.errors import INPUT_REFUSED, Refused
from proxy.identity.principal import Peer, Principal
from proxy.policy import input as whole
from proxy.policy.fields import ABSENT, DOCUMENT, Branch, Field, Make, Owned, canonical
from proxy.policy.input import Inquiry
from proxy.policy.reads import Reads
from proxy.policy.scalars import check_input

Tree = dict[str, "Tree | None"]  # of names; None: all that is there


def tree_of(paths: Iterable[tuple[str, ...]]) -> Tree | None:
    """Return paths as a tree; a path that is the beginning of another one takes its place."""
    root: Tree = {}
    for path in sorted(paths, key=len):
        if not path:
            return None
        step = root
        for name in path[:-1]:
            below = step.setdefault(name, {})
            if below is None:
                break
            step = below
        else:
            step.setdefault(path[-1], None)
    return root


def cut(value: Any, tree: Tree | None) -> Any:
    """Return the part of a document that a tree names. What stands where an object was looked for is kept whole."""
    if tree is None or type(value) is not dict:
        return value
    return {name: cut(value[name], below) for name, below in tree.items() if name in value}


def _principal_parts(principal: Principal) -> dict[str, Any]:
    return {"principal": whole.principal_document(principal)}


def _peer_parts(peer: Peer) -> dict[str, Any]:
    certificate = whole.certificate_document(peer.certificate)
    return {"peer": whole.peer_document(peer), "certificate": certificate, "id": peer.id}


class Selection:
    """The part of a principal, or of a peer, that a policy reads."""

    __slots__ = ("_name", "_parts", "_tree")

    def __init__(self, parts: Callable[[Any], dict[str, Any]], tree: Tree) -> None:
        self._parts = parts
        self._tree = tree
        self._name = "read " + canonical(tree)

    def of(self, owner: Principal | Peer) -> tuple[str, dict[str, Any]]:
        """Return it as canonical JSON and as documents by the parts' names. Raise Refused(INPUT_REFUSED)."""
        known: tuple[str, dict[str, Any]] | None = owner.derived.get(self._name)
        if known is None:
            parts = self._parts(owner)
            check_input(parts)  # all of it: what an engine must not see is refused, read or not
            shown = cut(parts, self._tree)
            known = owner.derived[self._name] = canonical(shown), shown
        return known


class Plan:
    """What is made of requests for one rule that decides.

    Args:
        reads: what it reads of the input.
    """

    __slots__ = ("_attributes", "_doubtful", "_functions", "_make", "_peer", "_principal", "_whole", "reads")

    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        tree = tree_of(reads.paths)
        self._whole = tree is None
        compiler = _Compiler()
        self._make = compiler.branch(DOCUMENT, tree)
        self._doubtful = tuple(compiler.doubtful)
        owned = compiler.owned
        self._principal = Selection(_principal_parts, owned["principal"]) if owned["principal"] else None
        self._peer = Selection(_peer_parts, owned["peer"]) if owned["peer"] else None
        compiler.selections.update(principal=self._principal, peer=self._peer)
        attributes = [told for told in dict.fromkeys(compiler.told) if isinstance(told, str)]
        self._attributes: Make = attrgetter("route", "route", *attributes)
        self._functions = tuple(told for told in compiler.told if not isinstance(told, str))

    def build(self, inquiry: Inquiry) -> dict[str, Any]:
        """Return the part of the input document that is read, fit for any engine.

        Raises:
            Refused: INPUT_REFUSED, as by `input.build_input`.
        """
        if self._whole:
            return whole.build_input(inquiry)
        _require_text(inquiry)
        document: dict[str, Any] = self._make(inquiry)
        if self._doubtful:
            check_input({name: document[name] for name in self._doubtful if name in document})
        return document

    def tell(self, inquiry: Inquiry) -> tuple[Hashable, ...]:
        """Return what is equal for two requests if and only if their routes and the parts that are read are.

        Args:
            inquiry: a request whose fields and query are known to be text, the unread ones too: one that is not
                must be refused, whatever is remembered.

        Raises:
            Refused: INPUT_REFUSED; what is read of the principal or the peer is not for an engine's eyes.
        """
        principal = peer = None
        if self._principal is not None:
            principal = self._principal.of(inquiry.principal)[0]
        if self._peer is not None and inquiry.peer is not None:
            peer = self._peer.of(inquiry.peer)[0]
        attributes: tuple[Hashable, ...] = self._attributes(inquiry)
        return (principal, peer, attributes, *[tell(inquiry) for tell in self._functions])


def _require_text(inquiry: Inquiry) -> None:
    """Refuse a request whose field values or query are not UTF-8, read or not. Raise Refused(INPUT_REFUSED)."""
    try:
        for _, value in inquiry.headers:
            if not value.isascii():
                value.decode()
        query = inquiry.target.query
        if query and not query.isascii():
            query.decode()
    except UnicodeDecodeError:
        raise Refused(INPUT_REFUSED, "header fields and query must be valid utf-8") from None


class Plans:
    """The plans of a policy, each made when it is first asked for.

    Args:
        reads: finds out what a rule reads.
    """

    __slots__ = ("_plans", "_reads")

    def __init__(self, reads: Callable[[str], Reads]) -> None:
        self._reads = reads
        self._plans: dict[str, Plan] = {}

    def of(self, path: str) -> Plan:
        """Return the plan of a rule such as `ztproxy/authz/decision`."""
        plan = self._plans.get(path)
        if plan is None:
            plan = self._plans[path] = Plan(self._reads(path))
        return plan


class _Compiler:
    """Walks the document's fields along a tree of what is read."""

    def __init__(self) -> None:
        self.told: list[str | Make] = []
        self.owned: dict[str, Tree] = {"principal": {}, "peer": {}}
        self.selections: dict[str, Selection | None] = {}
        self.doubtful: dict[str, None] = {}  # members of the document that hold what must be checked each time

    def branch(self, branch: Branch, tree: Tree | None, member: str = "") -> Make:
        """Return what makes an object of the fields that are read, in a member of the document or the document."""
        told, self.told = self.told, []
        names = branch.fields if tree is None else [name for name in tree if name in branch.fields]
        makes = [
            (name, self._make(branch.fields[name], None if tree is None else tree[name], member or name))
            for name in names
        ]

        def make(inquiry: Inquiry) -> dict[str, Any]:
            return {name: value for name, make in makes if (value := make(inquiry)) is not ABSENT}

        present, lacking = branch.present, branch.lacking
        if present is None:
            self.told = told + self.told
            return make
        members = tuple([attrgetter(each) if isinstance(each, str) else each for each in self.told])
        self.told = [*told, lambda inquiry: tuple([tell(inquiry) for tell in members]) if present(inquiry) else None]
        return lambda inquiry: make(inquiry) if present(inquiry) else lacking

    def _make(self, node: Field | Owned | Branch, tree: Tree | None, member: str) -> Make:
        if isinstance(node, Branch):
            return self.branch(node, tree, member)
        if isinstance(node, Owned):
            return self._owned(node, tree)
        if tree is not None and node.named is not None:
            node = node.named(tuple(tree))
        if node.told_by is not None:
            self.told.append(node.told_by)
        if not node.is_sure:
            self.doubtful[member] = None
        return node.make

    def _owned(self, node: Owned, tree: Tree | None) -> Make:
        self.owned[node.owner] = _grown(self.owned[node.owner], node.name, tree)
        owner_of, name, lacking, selections = attrgetter(node.owner), node.name, node.lacking, self.selections
        which = node.owner

        def make(inquiry: Inquiry) -> Any:
            owner, selection = owner_of(inquiry), selections[which]
            assert selection is not None
            return lacking if owner is None else selection.of(owner)[1][name]

        if node.moving is None or not _reaches(tree, node.moving[:2]):
            return make
        return self._moving(make, *node.moving)

    def _moving(self, make: Make, member: str, name: str, field: Field) -> Make:
        """Return what makes an object with the one of its fields that is another each time."""
        if field.told_by is not None:
            self.told.append(field.told_by)

        def moved(inquiry: Inquiry) -> Any:
            value, current = make(inquiry), field.make(inquiry)
            return value if current is ABSENT else {**value, member: {**value[member], name: current}}

        return moved


def _reaches(tree: Tree | None, path: Iterable[str]) -> bool:
    """Tell whether a tree names a path, something above it, or something below it."""
    for name in path:
        if tree is None:
            return True
        if name not in tree:
            return False
        tree = tree[name]
    return True


def _grown(owned: Tree, name: str, tree: Tree | None) -> Tree:
    return {**owned, name: tree}
