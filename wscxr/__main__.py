"""``python -m wscxr.cli`` is ``wscxr``."""

from wscxr.cli import main

main()
