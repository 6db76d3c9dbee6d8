"""What every script does before its own work."""

import jax
import pytest

from experiments import commands


@pytest.fixture
def cache(monkeypatch):
    """JAX's folder for compiled programs as it was, also after a test that has set it."""
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_in_the_users_cache(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = []
    commands.run_script(lambda: found.append(jax.config.jax_compilation_cache_dir))
    assert found == [str(tmp_path / "gated_lift" / "compiled")]
    assert not list(tmp_path.iterdir()), "nothing is written before there is something to keep"


def test_a_folder_of_the_environment_is_left_alone(cache, monkeypatch, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    commands.run_script(lambda: None)
    assert jax.config.jax_compilation_cache_dir == before


def test_a_script_that_cannot_begin_says_why_on_one_line(cache, monkeypatch, capsys):
    def main():
        raise ValueError("data is no\nfile: give one")

    for path in ("experiments/judge.py", "experiments/judge/__main__.py"):
        monkeypatch.setattr("sys.argv", [path])
        with pytest.raises(SystemExit) as left:
            commands.run_script(main)
        assert left.value.code == 2 and capsys.readouterr().err == "judge: data is no file: give one\n"
    monkeypatch.setenv("GATED_LIFT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="data is no"):
        commands.run_script(main)


def test_an_unknown_command_lists_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmark", "speed"])
    with pytest.raises(SystemExit) as left:
        commands.run_command("benchmark", "benchmarks", "About.", {"training": (object, print)})
    assert left.value.code == 2 and "benchmarks: training" in capsys.readouterr().out


def test_what_cannot_be_done_is_told_on_one_line(capsys):
    def work(error):
        raise error

    for error in (ValueError("steps is 0:\n give more"), OSError("steps is 0: give more"), KeyError("steps")):
        with pytest.raises(SystemExit) as left:
            commands.run_or_tell("tune", lambda error=error: work(error), LookupError)
        assert left.value.code == 2
    assert capsys.readouterr().err == 2 * "tune: steps is 0: give more\n" + "tune: 'steps'\n"
    with pytest.raises(TypeError):
        commands.run_or_tell("tune", lambda: work(TypeError("a mistake")))
