"""How every script starts, and scripts that hold several commands, each with a configuration of its own."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import tyro

from experiments import processes


def run_script(main: Callable[[], None]) -> None:
    """Runs a script's ``main`` with what XLA compiles kept for the next time: a run's first minute is often
    spent on programs that an earlier run compiled already.

    What cannot be done is told as `run_or_tell` does; with the environment variable ``GATED_LIFT_TRACEBACK``
    set, Python shows where it was found out.
    """
    keep_compiled()
    if os.environ.get("GATED_LIFT_TRACEBACK"):
        main()
    else:
        run_or_tell(script_name(), main, ImportError)


def script_name() -> str:
    """The name of the script or of the folder of scripts that was started."""
    path = Path(sys.argv[0])
    return path.parent.name if path.stem == "__main__" else path.stem


def tell(name: str, error: BaseException) -> str:
    """Says on one line of standard error what was wrong with what a command was given, and returns it."""
    message = " ".join(str(error).split())
    print(f"{name}: {message}", file=sys.stderr, flush=True)
    return message


def run_or_tell(name: str, work: Callable[[], object], *errors: type[Exception]) -> None:
    """Does a command's work. What cannot be done is told on one line of standard error, and the process exits
    with 2.

    errors: those whose message says all there is to know, besides ValueError and OSError.
    """
    told: tuple[type[Exception], ...] = (ValueError, OSError, *errors)
    try:
        work()
    except told as error:
        tell(name, error)
        processes.leave(2)


def keep_compiled() -> None:
    """Keeps compiled programs in the user's cache folder; where ``JAX_COMPILATION_CACHE_DIR`` names another
    one, JAX has taken that.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "gated_lift" / "compiled"))


def run_command(
    kind: str, plural: str, doc: str | None, commands: Mapping[str, tuple[type, Callable]]
) -> None:
    """Runs the command that the first argument names, with the rest of the command line as its configuration.

    kind, plural: what a command is called, in ``--help`` and where none is named. doc: the script's own.
    commands: by name, the configuration's dataclass and the function that takes one.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in commands:
        print(f"{doc}\n{plural}: {', '.join(commands)} (--help after one of them lists its settings)")
        sys.exit(0 if name in ("-h", "--help") else 2)
    config, run = commands[name]
    run(tyro.cli(config, prog=f"{kind} {name}", description=config.__doc__, args=sys.argv[2:]))
