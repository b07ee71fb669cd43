import inspect
import re

import pytest

from wscxr import errors
from wscxr.errors import WscxrError

ALL = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, WscxrError)
]


def drawn() -> list[tuple[str, str | None, str | None]]:
    """(name, parent, code) of each line of the tree in the module's docstring."""
    found: list[tuple[str, str | None, str | None]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)(?: +(\w+))?", line)
        if match is None:
            continue
        depth, name = len(match[1]) // 4, match[2]
        path = [*path[:depth], name]
        code = match[3] if match[3] and "_" in match[3] else None
        found.append((name, path[depth - 1] if depth else None, code))
    return found


def test_the_tree_that_is_drawn_is_the_real_one() -> None:
    tree = {name: parent for name, parent, _ in drawn()}
    real = {
        error.__name__: None if error is WscxrError else error.__base__.__name__
        for error in ALL
        if error.__base__ is not None
    }
    assert tree == real


def test_the_codes_that_are_drawn_are_the_real_ones() -> None:
    codes = {name: code for name, _, code in drawn() if code is not None}
    assert len(codes) >= 15
    assert codes == {name: getattr(errors, name).code for name in codes}


def test_codes_are_unique_and_in_snake_case() -> None:
    codes = [error.code for error in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", ALL)
def test_every_error_says_what_it_means_and_has_its_own_code(error: type[WscxrError]) -> None:
    assert error.__doc__
    assert "code" in vars(error)
    assert str(error("a message")) == "a message"
