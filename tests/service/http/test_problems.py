from collections.abc import Iterator

import pytest

from service.errors import ServiceError
from service.http.problems import problems, to_problem
from wscxr.errors import (
    CorruptImage,
    FileTooLarge,
    ImageError,
    TooManyPixels,
    UnsupportedFormat,
    WscxrError,
)

ID = "0b0e4a0e-6f0b-4c39-8f0b-2f6f7d1c9a55"


def with_code(kind: type[WscxrError]) -> Iterator[type[WscxrError]]:
    for child in kind.__subclasses__():
        if "code" in vars(child):
            yield child
        yield from with_code(child)


@pytest.mark.parametrize("kind", [*with_code(ServiceError), *with_code(ImageError)])
def test_every_error_is_a_problem(kind: type[WscxrError]) -> None:
    problem = to_problem(kind(), ID)
    assert problem.status == kind.status >= 400
    assert problem.code == kind.code
    assert problem.type == f"urn:wscxr:problem:{kind.code}"
    assert problem.detail.lower() == kind.summary.removesuffix(".").lower()
    assert problem.request_id == ID


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FileTooLarge, 413), (TooManyPixels, 413), (UnsupportedFormat, 415), (CorruptImage, 422)],
)
def test_image_errors(kind: type[ImageError], status: int) -> None:
    assert to_problem(kind("why"), ID).status == status


def test_the_unexpected_is_hidden_from_clients() -> None:
    problem = to_problem(ValueError("patient Jane Doe"), ID)
    assert problem.code == "internal_error"
    assert "Jane" not in problem.model_dump_json()


def test_errors_of_one_status_are_described_together() -> None:
    found = problems(TooManyPixels, FileTooLarge)[413]
    assert found["description"].count("\n- ") == 1
    examples = found["content"]["application/problem+json"]["examples"]
    assert list(examples) == ["file_too_large", "too_many_pixels"]
