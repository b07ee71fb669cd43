"""``python -m wscxr`` is ``wscxr``."""

from wscxr.cli import main

main()
