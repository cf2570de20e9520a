"""`python -m proxy` is `ztproxy`."""

from proxy.cli import main

main()
