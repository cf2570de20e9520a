"""The chart: a panel for each case that compares somebody with somebody, a bar for each series, drawn as SVG.

A bar ends at the median; the thin line over it goes from the least to the most of the rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import Figures, Spread

WIDTH, LABEL, VALUE = 760, 250, 90  # of the picture, and beside the bars for their names and figures
TITLE, ROW, GAP, BAR = 30, 22, 16, 12  # heights
OURS, OTHERS, TEXT, FAINT = "#0b6e4f", "#b8bfc6", "#24292f", "#57606a"


@dataclass(frozen=True)
class Panel:
    """One case of the chart.

    Args:
        names: of the series, with how they are called in it.
    """

    case: str
    title: str
    metric: str
    unit: str
    names: dict[str, str]


DECIDING = {
    "ztproxy": "ztproxy",
    "envoy-rbac": "Envoy, JWT + RBAC",
    "envoy-ext-authz": "Envoy, JWT + ext_authz",
}
PLAIN = {"envoy": "Envoy, no decision", "nginx": "nginx, no decision"}

PANELS = (
    Panel(
        "small",
        "Requests a second on one core, decisions remembered",
        "rate",
        "",
        {**DECIDING, **PLAIN, "aiohttp": "aiohttp, no decision"},
    ),
    Panel("distinct", "The same, every request another: nothing remembered", "rate", "", DECIDING),
    Panel("mtls", "Requests a second over mTLS with a client certificate", "rate", "", {**DECIDING, **PLAIN}),
    Panel(
        "latency", "p99 in milliseconds at 1,000 requests a second (less is better)", "p99", "ms", {**DECIDING, **PLAIN}
    ),
    Panel("bulk-down", "10 MiB down, MB a second", "bytes", "", {**DECIDING, **PLAIN}),
    Panel("bulk-up", "10 MiB up, MB a second", "bytes", "", {**DECIDING, **PLAIN}),
    Panel("handshakes", "New mTLS connections a second", "rate", "", {**DECIDING, **PLAIN}),
)


def draw(figures: Figures, panels: Sequence[Panel] = PANELS) -> str:
    """Return the chart of all panels that have figures."""
    top, drawn = GAP, []
    for panel in panels:
        spreads = {series: figures.spread(panel.case, series, panel.metric) for series in panel.names}
        bars = {panel.names[series]: spread for series, spread in spreads.items() if spread}
        if bars:
            drawn += _panel(panel, bars, top)
            top += TITLE + ROW * len(bars) + GAP
    style = f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" {style}>'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>', *drawn, "</svg>"]) + "\n"


def _panel(panel: Panel, bars: dict[str, Spread], top: float) -> list[str]:
    scale = (WIDTH - LABEL - VALUE) / max(spread.most for spread in bars.values())
    lines = [f'<text x="12" y="{top + 16}" font-weight="600">{escape(panel.title)}</text>']
    for row, (name, spread) in enumerate(bars.items()):
        lines += _bar(name, spread, panel.unit, top + TITLE + row * ROW, scale)
    return lines


def _bar(name: str, spread: Spread, unit: str, top: float, scale: float) -> list[str]:
    own = name.startswith("ztproxy")
    middle, end = top + BAR / 2, LABEL + spread.most * scale
    weight, colour = (600, TEXT) if own else (400, FAINT)
    width = spread.median * scale
    lines = [
        f'<text x="{LABEL - 8}" y="{middle + 4.5}" text-anchor="end" font-weight="{weight}">{escape(name)}</text>',
        f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2" fill="{OURS if own else OTHERS}"/>',
        f'<text x="{end + 6:.1f}" y="{middle + 4.5}" fill="{colour}">{_figure(spread.median, unit)}</text>',
    ]
    if spread.most > spread.least:
        from_, to = LABEL + spread.least * scale, LABEL + spread.most * scale
        lines.append(f'<path d="M{from_:.1f} {middle}H{to:.1f}" stroke="{TEXT}" stroke-width="1.2"/>')
    return lines


def _figure(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"{text} {unit}".strip()
