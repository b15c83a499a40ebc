"""``python -m exact_source`` is ``exact-source``."""

from exact_source.cli import main

main(prog_name="exact-source")
