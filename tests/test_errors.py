"""One tree of errors, and the page that lists it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Every module of the project that adds to the tree.
from service import errors as _service  # noqa: F401
from service.pacs import errors as _pacs  # noqa: F401
from wscxr.errors import ImageError, WscxrError, kinds

ROOT = Path(__file__).parents[1]


def below(root: type[WscxrError]) -> Iterator[type[WscxrError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from below(kind)


ALL = list(below(WscxrError))


def test_no_code_has_two_meanings() -> None:
    codes = [kind.code for kind in ALL if "code" in vars(kind)]
    assert len(codes) > 40
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_no_two_errors_share_a_name() -> None:
    names = [kind.__name__ for kind in ALL]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_in_one_sentence_when_it_happens(kind: type[WscxrError]) -> None:
    assert kind.summary[0].isupper()
    assert kind.summary.endswith(".")
    assert kind.__doc__ is not None
    assert kind.__doc__.startswith(kind.summary)


def test_a_message_replaces_the_summary() -> None:
    assert str(ImageError("a message")) == "a message"
    assert str(ImageError()) == "the image cannot be used"


def test_kinds_are_the_narrowest_errors() -> None:
    codes = [kind.code for kind in kinds(ImageError)]
    assert "lateral_view" in codes
    assert "out_of_scope" not in codes


def test_the_page_of_errors_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "errors_doc.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
