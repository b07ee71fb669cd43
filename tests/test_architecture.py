"""Rules of the house that no linter knows; import-linter, deptry and ruff hold the others."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    path for package in ("wscxr", "training", "service") for path in (ROOT / package).rglob("*.py")
]


def test_a_file_can_be_read_in_one_sitting() -> None:
    assert len(MODULES) > 50
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_one_name_names_one_class() -> None:
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    ("imported", "unwanted"),
    [
        ("wscxr.cli", {"torch", "torchvision", "sklearn", "scipy", "fastapi", "pydicom"}),
        ("training.cli, service.cli", {"torch", "torchvision", "sklearn", "scipy", "fastapi"}),
        ("service.app", {"sklearn", "scipy", "matplotlib", "training"}),
        ("service.scoring.registry, service.api.predict", {"torchvision"}),
    ],
    ids=[
        "help answers at once",
        "help of all commands too",
        "serving needs no training library",
        "a start with compiled networks builds none",
    ],
)
def test_what_an_import_does_not_load(imported: str, unwanted: set[str]) -> None:
    code = f"import sys, {imported}; print(sorted({unwanted} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
