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


def test_an_unknown_command_lists_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmark", "speed"])
    with pytest.raises(SystemExit) as left:
        commands.run_command("benchmark", "benchmarks", "About.", {"training": (object, print)})
    assert left.value.code == 2 and "benchmarks: training" in capsys.readouterr().out
