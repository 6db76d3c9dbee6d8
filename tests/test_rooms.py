"""Imports run one way, and scripts are ends: what they share stands in rooms named for it."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("solvers", "gated_lift", "experiments")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(text, package):
    """Every module that a file may import, names of a package that are modules themselves included."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def is_script(path):
    """A ``__main__.py``, or a file that runs where it is the main one."""
    tests = (node.test for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.If))
    return path.name == "__main__.py" or any("__name__" in ast.unparse(test) for test in tests)


def package_of(path):
    return ".".join(path.relative_to(ROOT).parent.parts)


def test_no_script_is_imported():
    scripts = {module_of(path) for path in FILES if is_script(path)}
    assert {"experiments.train", "experiments.evaluate", "experiments.benchmark.__main__"} <= scripts
    imported = {
        (module_of(path), name)
        for path in FILES
        for name in imports_of(path.read_text(), package_of(path)) & scripts
    }
    assert not imported, f"move what is shared out of the scripts: {sorted(imported)}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_run_one_way(path):
    package = package_of(path).split(".")[0]
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    names = {name.split(".")[0] for name in imports_of(path.read_text(), package_of(path))}
    assert not names & set(above), f"{module_of(path)} belongs below {sorted(names & set(above))}"


def test_imports_are_found_in_every_form():
    text = "import a.b\nfrom c import d\ndef f():\n    from . import e\n    from ..g import h\n"
    found = imports_of(text, "x.y")
    assert {"a.b", "c.d", "x.y.e", "x.g.h"} <= found


def test_every_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == {package_of(path) for path in FILES}
