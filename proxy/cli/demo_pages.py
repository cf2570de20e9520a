"""The HTML of the demo's provider and of its applications: values in, answers out, in the style of the portal's pages.

Nothing in a page runs but the live board's script. Every value is escaped, for what a page shows comes with requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from aiohttp import web
from jinja2 import DictLoader, Environment, StrictUndefined, Template

from proxy.portal.pages import tile_of

# Below a path that is public where the application's pages are.
ASSETS: Final = "/public/"
_CSP: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT: Final = "; script-src 'self'; connect-src 'self'"
_FILES: Final = {
    "portal.css": ("proxy.portal", "static", "text/css"),
    "mark.svg": ("proxy.portal", "static", "image/svg+xml"),
    "live.js": ("proxy.cli", "demo_templates", "text/javascript"),
}


def page(template: str, *, status: int = 200, **values: object) -> web.Response:
    """Return a page; `live.html` alone runs a script."""
    html = _templates()[template].render(assets=ASSETS, tile_of=tile_of, **values)
    csp = _CSP + _SCRIPT if template == "live.html" else _CSP
    fields = {
        "Content-Security-Policy": csp,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(status=status, text=html, content_type="text/html", charset="utf-8", headers=fields)


async def asset(request: web.Request) -> web.Response:
    """Answer with a file that pages load. Raise HTTPNotFound where there is no such file."""
    if (known := _FILES.get(request.match_info["name"])) is None:
        raise web.HTTPNotFound
    package, folder, content_type = known
    text = files(package).joinpath(folder, request.match_info["name"]).read_text(encoding="utf-8")
    fields = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return web.Response(text=text, content_type=content_type, charset="utf-8", headers=fields)


@cache
def _templates() -> Mapping[str, Template]:
    own = files("proxy.cli").joinpath("demo_templates")
    sources = {file.name: file.read_text(encoding="utf-8") for file in own.iterdir() if file.name.endswith(".html")}
    shapes = files("proxy.portal").joinpath("templates", "shapes.html").read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({**sources, "shapes.html": shapes}),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return {name: environment.get_template(name) for name in sources}
