"""The Dockerfile, .dockerignore and compose file name what there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = [
    source
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    for source in line.split()[:-1]
]
ALLOWED = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)


def test_what_is_copied_is_there_and_not_ignored() -> None:
    assert COPIED
    for source in COPIED:
        assert (ROOT / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in ALLOWED), source


def test_nothing_else_is_sent_to_the_builder() -> None:
    for name in ALLOWED:
        assert any(source == name or source.startswith(f"{name}/") for source in COPIED), name


def test_targets_that_are_built_exist() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    compose = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"^\s+target: (\S+)$", compose, re.MULTILINE)) <= stages
    assert {"serve", "gpu", "train", "archive"} <= stages
    # What a build without a target makes.
    assert DOCKERFILE.rindex("AS serve\n") == max(
        DOCKERFILE.rindex(f"AS {name}\n") for name in stages
    )
