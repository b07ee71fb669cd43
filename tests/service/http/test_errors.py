from collections.abc import Iterator

import pytest

from service import errors
from service.errors import ServiceError
from service.http.problems import to_problem
from wscxr.errors import CorruptImage, FileTooLarge, ImageError, TooManyPixels, UnsupportedFormat

ID = "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55"


def leaves(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        if "code" in vars(child) or "status" in vars(child):
            yield child
        yield from leaves(child)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = {
        (words[0], words[1], words[2])
        for line in (errors.__doc__ or "").splitlines()
        if len(words := line.strip("│├└─ ").split()) == 3 and words[2].isdecimal()
    }
    real = {(leaf.__name__, leaf.code, str(leaf.status)) for leaf in leaves(ServiceError)}
    assert drawn == {entry for entry in real if entry[0] != "Unavailable"}


@pytest.mark.parametrize("kind", [k for k in leaves(ServiceError) if k.__name__ != "Unavailable"])
def test_every_error_is_a_problem(kind: type[ServiceError]) -> None:
    problem = to_problem(kind(), ID)
    assert problem.status == kind.status
    assert problem.code == kind.code
    assert problem.type == f"urn:wscxr:problem:{kind.code}"
    assert problem.detail == kind.detail
    assert problem.request_id == ID


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FileTooLarge, 413), (TooManyPixels, 413), (UnsupportedFormat, 415), (CorruptImage, 422)],
)
def test_image_errors(kind: type[ImageError], status: int) -> None:
    assert to_problem(kind("why"), ID).status == status


def test_the_unforeseen_is_not_told() -> None:
    problem = to_problem(ValueError("patient Jane Doe"), ID)
    assert problem.code == "internal_error"
    assert "Jane" not in problem.model_dump_json()
