"""What people see of the portal: whose it is, and how each application is shown in it."""

from __future__ import annotations

from proxy.config.section import Section
from proxy.config.values import FilePath, Flag, Text


class Portal(Section):
    """Whose pages they are, and whom to ask."""

    brand: Text = "ztproxy"
    contact: Text | None = None
    logo: FilePath | None = None


class RoutePortal(Section):
    """How a route is shown among a person's applications."""

    title: Text | None = None
    description: Text | None = None
    icon: FilePath | None = None
    hidden: Flag = False
