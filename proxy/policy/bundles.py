"""What can be proven of the policy that an OPA server serves, so that its decisions can be remembered.

OPA owns policy and data, and both may change between two questions. What it serves from a bundle, nobody can write by
its API, and a bundle's revision says which content it is. So a decision can be remembered where everything below data
that it names lies under the roots of bundles that have a revision, as long as their revisions stay the same. Whether a
publisher gives one revision to two contents, and whether OPA watches files, cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from proxy.policy.reading import NotLoaded, read_policy, told
from proxy.policy.reads import Reader, Reads, unknown_reads
from proxy.policy.sources import Module
from proxy.policy.syntax import dotted


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that OPA has activated.

    Args:
        revision: as its manifest names it; empty where it does not.
        roots: the paths below data that are the bundle's alone; `()` is all of it.
    """

    revision: str
    roots: tuple[tuple[str, ...], ...]


Bundles = Mapping[str, Bundle]


def read_bundles(stored: object) -> Bundles:
    """Return what OPA has stored at `data.system.bundles`, by the bundles' names.

    Raises:
        ValueError: it has another shape.
    """
    if not isinstance(stored, dict):
        raise ValueError("bundles must be an object")  # noqa: TRY004 - an answer is wrong, not a call
    return {name: _bundle(entry.get("manifest") if isinstance(entry, dict) else None) for name, entry in stored.items()}


def _bundle(manifest: object) -> Bundle:
    if not isinstance(manifest, dict):
        raise ValueError("a bundle must have a manifest")  # noqa: TRY004
    revision, roots = manifest.get("revision", ""), manifest.get("roots")
    if not isinstance(revision, str) or not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise ValueError("a manifest must have a revision and roots")
    return Bundle(revision, tuple(tuple(root.strip("/").split("/")) if root.strip("/") else () for root in roots))


def revisions_of(provenance: object) -> dict[str, str] | None:
    """Return the revisions of the bundles that an answer was made of; None: it does not tell."""
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict):
        return None
    return {name: str(entry.get("revision", "")) for name, entry in bundles.items() if isinstance(entry, dict)}


def find_reads(modules: list[Module], bundles: Bundles) -> Callable[[str], Reads]:
    """Return what tells of each rule what it reads, and whether its decisions can be remembered.

    Args:
        modules: all that the server has.
        bundles: all that it has activated.
    """
    owned = [root for bundle in bundles.values() if bundle.revision for root in bundle.roots]
    if not owned:
        return lambda point: unknown_reads(point, "is decided by an OPA server that serves no bundle with a revision")
    reader = _reader(modules)
    if isinstance(reader, str):
        return lambda point: unknown_reads(point, f"is decided by a policy of which nothing is known: {reader}")

    def reads(point: str) -> Reads:
        found = reader.reads(point)
        if found.obstacle is None and (stray := _stray(found, owned)) is not None:
            why = f"names {dotted(('data', *stray))}, which is not in a bundle that has a revision"
            return replace(found, obstacle=why)
        return found

    return reads


def _stray(found: Reads, owned: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return what a rule names below data that no bundle owns. `data.system` is OPA's own, whatever a root says."""
    for path in sorted(found.data):
        if not path or path[0] == "system" or not any(path[: len(root)] == root for root in owned):
            return path
    return None


def _reader(modules: list[Module]) -> Reader | str:
    """Return what finds the reads of modules, or why nothing can: a syntax that the embedded engine does not have."""
    try:
        return Reader(read_policy(tuple(modules)).trees)
    except NotLoaded as unread:
        return str(unread.args[0])
    except RecursionError:
        return "an expression has too many parts"
    except BaseException as error:  # a Rust panic is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return told(error)
