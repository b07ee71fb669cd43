"""The rules the house is built by, read off the source."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("wscxr", "training", "service")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


modules = pytest.mark.parametrize(
    "module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


@cache
def parse(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), str(module))


def imported(node: ast.AST) -> Iterator[str]:
    """Top-level packages that one statement imports, absolutely."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield str(node.module).partition(".")[0]


def imports(tree: ast.AST) -> set[str]:
    return {name for node in ast.walk(tree) for name in imported(node)}


def eager(body: list[ast.stmt]) -> set[str]:
    """What is imported when the module itself is: not in functions, not for type checkers."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            found |= eager(statement.orelse)
            continue
        found |= set(imported(statement))
        for field in ("body", "orelse", "finalbody"):
            found |= eager(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            found |= eager(handler.body)
    return found


def test_there_is_something_to_check() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in MODULES}
    assert {"wscxr/model/mining.py", "training/train.py", "service/app.py"} <= names


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import training.fit", {"training"}),
        ("def f():\n from training import fit", set()),
        ("if TYPE_CHECKING:\n import service\nelse:\n import training", {"training"}),
        ("try:\n import service\nexcept ImportError:\n import training", {"service", "training"}),
        ("class A:\n import service", {"service"}),
    ],
)
def test_the_reader_of_imports_can_see(source: str, found: set[str]) -> None:
    assert eager(ast.parse(source).body) == found


@modules
def test_dependencies_point_one_way(module: Path) -> None:
    own = module.relative_to(ROOT).parts[0]
    forbidden = {
        "wscxr": {"training", "service"},
        "training": {"service"},
        "service": {"training"},
    }[own]
    assert not imports(parse(module)) & forbidden


INDIRECT = {"starlette"}
"""Part of the interface of a declared library: FastAPI hands out its classes as they are."""


def test_every_imported_library_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["train"], *extras["dicom"]]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    distributions = packages_distributions()
    used = set().union(*(imports(parse(module)) for module in MODULES))
    foreign = used - sys.stdlib_module_names - set(PACKAGES) - INDIRECT
    assert "httpx" in foreign
    assert [
        name
        for name in sorted(foreign)
        if not declared & {canonicalize_name(found) for found in distributions.get(name, [])}
    ] == []


@modules
def test_imports_are_absolute(module: Path) -> None:
    levels = [node.level for node in ast.walk(parse(module)) if isinstance(node, ast.ImportFrom)]
    assert not any(levels)


@modules
def test_everything_public_has_a_docstring(module: Path) -> None:
    missing = []

    def look(node: ast.AST, name: str) -> None:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not ast.get_docstring(node) and (node.__class__ is not ast.Module or node.body):
                missing.append(name)
            for child in node.body:
                if isinstance(node, ast.Module | ast.ClassDef) and isinstance(
                    child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
                ):
                    overload = "overload" in map(ast.unparse, child.decorator_list)
                    if not child.name.startswith("_") and not overload:
                        look(child, f"{name}.{child.name}")

    look(parse(module), module.stem)
    assert not missing


# --- no pickle ----------------------------------------------------------------------------------

PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def unpickles(tree: ast.AST) -> list[str]:
    """Everything in a module that could run a pickle."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and set(imported(node)) & PICKLES:
            found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and set(imported(node)) & PICKLES:
            # The name of an error runs nothing.
            if {alias.name for alias in node.names} - {"UnpicklingError", "PickleError"}:
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            loads = called in {"torch.load", "torch.jit.load"} or called.endswith(
                ("load_state_dict_from_url", ".get_state_dict", "load_url")
            )
            if loads and options.get("weights_only") != "True":
                found.append(ast.unparse(node))
            if options.get("allow_pickle", "False") != "False":
                found.append(ast.unparse(node))
            if called in {"torch.save", "np.savez", "pd.read_pickle", "eval", "exec"}:
                found.append(ast.unparse(node))
    return found


@modules
def test_nothing_is_ever_pickled_or_unpickled(module: Path) -> None:
    assert not unpickles(parse(module))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "weights.get_state_dict(progress=True)",
        "np.load(f, allow_pickle=True)",
        "torch.save(x, f)",
    ],
)
def test_the_reader_of_pickles_can_see(source: str) -> None:
    assert unpickles(ast.parse(source))


# --- start-up -----------------------------------------------------------------------------------


def test_the_command_line_answers_without_loading_torch() -> None:
    code = (
        "import sys, wscxr.cli; "
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'fastapi', 'training', 'service'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_serving_needs_no_training_library() -> None:
    code = (
        "import sys, wscxr.bundle.store, service.app; "
        "print(sorted({'sklearn', 'scipy', 'training'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
