"""What may be given to others with the container image."""

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PINNED = re.findall(r"^([\w.-]+)==", (ROOT / "requirements-image.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("package", PINNED)
def test_no_package_of_the_image_is_under_the_gpl(package: str) -> None:
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        pytest.skip("for another platform")
    said = [
        line
        for field in ("License-Expression", "License", "Classifier")
        for line in found.get_all(field) or []
    ]
    # The whole text of a licence may stand there, and speak of others.
    assert not re.search(r"GPL|General Public License", " ".join(line[:200] for line in said))
