"""Write the tables of docs/errors.md from the error classes: ``python scripts/errors_doc.py``.

With ``--check``, write nothing and fail when the tables are stale.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from service.archive.errors import ArchiveError, RowError
from service.errors import ServiceError, TryLater
from service.pacs.errors import PacsError, Refused, ServerFault, ServerUnavailable
from wscxr.errors import ImageError, OutOfScope, WscxrError

DOCUMENT = Path(__file__).parents[1] / "docs" / "errors.md"

# Only their subclasses are raised, or, of Refused, reported by their reason.
FAMILIES = {
    *(WscxrError, ImageError, OutOfScope, ServiceError, TryLater),
    *(PacsError, Refused, ServerFault, ServerUnavailable),
    *(ArchiveError, RowError),
}


def errors(root: type[WscxrError]) -> Iterator[type[WscxrError]]:
    """Every error that can be met at or below a root, in order of definition."""
    if root not in FAMILIES:
        yield root
    for kind in root.__subclasses__():
        yield from errors(kind)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def summary(kind: type[WscxrError]) -> str:
    """When an error happens, with the names of settings and paths as code."""
    return re.sub(r"(WSCXR_\w+|/v1/[\w/]+|\?model=NAME|map=base64)", r"`\1`", kind.summary)


def tables() -> dict[str, str]:
    """The tables by the name that marks their place in the document."""
    answered = [*errors(ImageError), *errors(ServiceError)]
    over_http = sorted(answered, key=lambda kind: (kind.status, kind.code))
    by_exit_code: dict[int, list[str]] = {}
    for kind in errors(WscxrError):
        if not issubclass(kind, ServiceError | RowError):
            by_exit_code.setdefault(kind.exit_code, []).append(f"`{kind.code}`")
    return {
        "http": table(
            ["status", "code", "when"],
            [[str(kind.status), f"`{kind.code}`", summary(kind)] for kind in over_http],
        ),
        "pacs": table(
            ["code", "when"],
            [[f"`{kind.code}`", summary(kind)] for kind in errors(PacsError)],
        ),
        "rows": table(
            ["code", "when"],
            [[f"`{kind.code}`", summary(kind)] for kind in errors(RowError)],
        ),
        "commands": table(
            ["exit code", "codes"],
            [[str(code), ", ".join(codes)] for code, codes in sorted(by_exit_code.items())],
        ),
        "settings": table(
            ["code", "when"],
            [
                [f"`{kind.code}`", summary(kind)]
                for kind in errors(WscxrError)
                if not issubclass(kind, ServiceError | ImageError | PacsError | RowError)
            ],
        ),
    }


def render(text: str) -> str:
    """The document with fresh tables between its marks."""
    for name, content in tables().items():
        before, begin, rest = text.partition(f"<!-- table: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"{DOCUMENT.name} has no place for the table {name!r}")
        text = f"{before}{begin}\n{content}\n\n{end}{after}"
    return text


def main() -> int:
    """Write the document, or check it."""
    old = DOCUMENT.read_text(encoding="utf-8")
    new = render(old)
    if "--check" in sys.argv[1:]:
        if new != old:
            print(f"{DOCUMENT} is stale: run python scripts/errors_doc.py")
            return 1
        return 0
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
