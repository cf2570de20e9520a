"""Which lines of a policy tests have evaluated, and the page that shows it.

Lines are regorus': those on which an expression begins. Tests do not count.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from proxy.policy.sources import TESTS

Covered = dict[str, tuple[set[int], set[int]]]  # by file: lines that were evaluated, and those that were not


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One file: lines that were evaluated, and lines that were not."""

    name: str
    covered: tuple[int, ...]
    missed: tuple[int, ...]

    @property
    def percent(self) -> float:
        """How many of a hundred lines were evaluated."""
        return _percent(len(self.covered), len(self.missed))

    @property
    def gaps(self) -> str:
        """The lines that were not, such as `12, 20-24`."""
        runs = groupby(enumerate(self.missed), key=lambda pair: pair[1] - pair[0])
        told = [[line for _, line in run] for _, run in runs]
        return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in told)


@dataclass(slots=True)
class Coverage:
    """What all tests together have evaluated."""

    lines: Covered = field(default_factory=dict)

    @staticmethod
    def add(covered: Covered, engine: Any) -> None:
        """Add what an engine has noted; the same file may be in several, under several names."""
        for file in json.loads(engine.get_coverage_report_as_json())["files"]:
            if file["path"].endswith(TESTS):
                continue
            done, missed = covered.setdefault(str(Path(file["path"]).resolve()), (set(), set()))
            done.update(file["covered"])
            missed.update(file["not_covered"])

    def merge(self, covered: Covered) -> None:
        """Add what was noted elsewhere."""
        for name, (done, missed) in covered.items():
            mine = self.lines.setdefault(name, (set(), set()))
            mine[0].update(done)
            mine[1].update(missed)

    def files(self) -> list[FileCoverage]:
        """Return each file of the policies, by name."""
        return [
            FileCoverage(_near(name), tuple(sorted(done)), tuple(sorted(missed - done)))
            for name, (done, missed) in sorted(self.lines.items())
        ]

    @property
    def percent(self) -> float:
        """How many of a hundred lines were evaluated, of all files."""
        files = self.files()
        return _percent(sum(len(one.covered) for one in files), sum(len(one.missed) for one in files))


def _percent(covered: int, missed: int) -> float:
    return 100.0 * covered / (covered + missed) if covered + missed else 100.0


def _near(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name


_STYLE: Final = """
:root { color-scheme: light dark; --done: light-dark(#e2f3e3, #17361b); --gap: light-dark(#fde4e1, #4a1c18);
  --dim: light-dark(#5c6670, #9aa5b1); --line: light-dark(#d5dae0, #3a424c) }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif }
table { border-collapse: collapse } td, th { padding: .2rem 1rem .2rem 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
pre { margin: 0 0 2rem; padding: .5rem 0; overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem;
  font: 14px/1.5 ui-monospace, monospace; tab-size: 4 }
pre span { display: block; min-width: max-content; padding: 0 .75rem } .done { background: var(--done) }
.gap { background: var(--gap) } pre b { color: var(--dim); font-weight: normal; user-select: none }
.key span { padding: .1rem .5rem; border-radius: .25rem }
"""


def page(coverage: Coverage) -> str:
    """Return the report as a page that needs no other file."""
    files = coverage.files()
    rows = "".join(
        f'<tr><td><a href="#{_anchor(one.name)}">{html.escape(one.name)}</a></td>'
        f'<td class="number">{one.percent:.1f}%</td><td>{html.escape(one.gaps) or "none"}</td></tr>'
        for one in files
    )
    listings = "".join(
        f'<h2 id="{_anchor(one.name)}">{html.escape(one.name)}</h2>\n<pre>{"".join(_listing(one))}</pre>\n'
        for one in files
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Policy coverage: {coverage.percent:.1f}%</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>Policy coverage: {coverage.percent:.1f}%</h1>\n"
        '<p class="key"><span class="done">+ evaluated</span> <span class="gap">! not evaluated</span></p>\n'
        f"<table><tr><th>file</th><th>covered</th><th>lines not evaluated</th></tr>{rows}</table>\n"
        f"{listings}</body>\n</html>\n"
    )


def _anchor(name: str) -> str:
    return html.escape(name.replace(" ", "-"), quote=True)


def _listing(file: FileCoverage) -> Iterator[str]:
    """Yield each line of a file; it is marked by a sign too, for colours do not tell everybody."""
    covered, missed = set(file.covered), set(file.missed)
    for number, text in enumerate(_text(file.name), start=1):
        kind, sign = ("done", "+") if number in covered else ("gap", "!") if number in missed else ("", " ")
        yield f'<span class="{kind}"><b>{number:5} {sign} </b>{html.escape(text)}</span>'


def _text(name: str) -> Iterable[str]:
    with suppress(OSError, UnicodeDecodeError):
        return Path(name).read_text(encoding="utf-8").splitlines()
    return ()
