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
    if 'if __name__ == "__main__"' in path.read_text() or path.name == "__main__.py"
}
# Scripts that hold several commands.
SEVERAL = ("benchmark", "trajectory")
# What a script does besides, with settings of its own.
BESIDES = {"lift": ("", "--live")}


def path_of(script):
    alone = ROOT / "experiments" / f"{script}.py"
    return alone if alone.exists() else ROOT / "experiments" / script / "__main__.py"


def module_of(script):
    return importlib.import_module(".".join(path_of(script).relative_to(ROOT).with_suffix("").parts))


def help_of(monkeypatch, capsys, script, *words):
    monkeypatch.setattr(sys, "argv", [script, *words, "--help"])
    with pytest.raises(SystemExit) as left:
        module_of(script).main()
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_explains_itself(script, monkeypatch, capsys):
    text = help_of(monkeypatch, capsys, script)
    assert script in text or "--" in text
    if script in SEVERAL:
        for command in module_of(script).COMMANDS:
            assert command in text
            assert "--" in help_of(monkeypatch, capsys, script, command)


def test_documents_name_scripts_that_are_there():
    named = {
        found for path in DOCUMENTS for found in re.findall(r"python -m experiments\.(\w+)", path.read_text())
    }
    assert {"train", "evaluate", "tables"} <= named <= SCRIPTS


def test_documents_name_settings_that_are_there(monkeypatch, capsys):
    known = set()
    for script in SCRIPTS:
        module = module_of(script)
        commands = getattr(module, "COMMANDS", None) or getattr(module, "CONFIGS", None)
        commands = commands or BESIDES.get(script, ("",))
        for command in commands:
            text = help_of(monkeypatch, capsys, script, *command.split())
            known |= set(re.findall(r"--[a-z][\w.-]*", text))
    for path in DOCUMENTS:
        if path.suffix == ".md":
            # Schedulers, the cloud's own command and XLA have settings of their own.
            ours = re.sub(r"^(#SBATCH|gcloud) .*$|--xla_\w+", "", path.read_text(), flags=re.MULTILINE)
            named = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", ours))
            assert named <= known, path.name


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_scripts_start_in_the_one_way(script):
    assert path_of(script).read_text().endswith('if __name__ == "__main__":\n    run_script(main)\n')
