"""Every command that the documents name is there and explains itself."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = {
    path.stem if path.name != "__main__.py" else path.parent.name
    for path in (ROOT / "experiments").rglob("*.py")
    if "__main__" in path.read_text() or path.name == "__main__.py"
}
# Scripts that hold several commands.
SEVERAL = ("benchmark", "trajectory")


def help_of(monkeypatch, capsys, script, *words):
    name = f"experiments.{script}"
    if (ROOT / "experiments" / script / "__main__.py").exists():
        name += ".__main__"
    monkeypatch.setattr(sys, "argv", [script, *words, "--help"])
    with pytest.raises(SystemExit) as left:
        importlib.import_module(name).main()
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_explains_itself(script, monkeypatch, capsys):
    text = help_of(monkeypatch, capsys, script)
    assert script in text or "--" in text
    if script in SEVERAL:
        commands = importlib.import_module(f"experiments.{script}.__main__").COMMANDS
        for command in commands:
            assert command in text
            assert "--" in help_of(monkeypatch, capsys, script, command)


def test_documents_name_scripts_that_are_there():
    named = {
        found for path in DOCUMENTS for found in re.findall(r"python -m experiments\.(\w+)", path.read_text())
    }
    assert {"train", "evaluate", "tables"} <= named <= SCRIPTS


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_scripts_start_in_the_one_way(script):
    path = ROOT / "experiments" / f"{script}.py"
    path = path if path.exists() else ROOT / "experiments" / script / "__main__.py"
    assert path.read_text().endswith('if __name__ == "__main__":\n    run_script(main)\n')
