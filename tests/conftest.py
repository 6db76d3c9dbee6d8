"""Strict arrays in every test: no silent promotion of rank or dtype, and signatures checked at run time."""

import functools
import gc
import os
from importlib import metadata

# The suite compiles much and computes little: XLA's optimiser would take most of its time, and the newer of
# its two code generators takes twice as long as the older. Users run with both, so tests whose numbers these
# may change are marked `default_flags` and run with XLA as it is: DEFAULT_FLAGS=1 pytest -m default_flags.
# Its simplification of a solve goes on to a limit of 25 rounds, fewer without reshape-mover; the three passes
# over loops take time in every round. Without the four a solve compiles in two thirds of the time, measured
# side by side. XLA's check of its own passes takes a twelfth of what is left. And two processes leave no core
# to compile the parts of a program side by side. An environment variable, because it is read before JAX
# starts.
# Releases of jaxlib after 0.11.0 have one code generator, and end at the name of a flag that is gone.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + (
    ""
    if os.environ.get("DEFAULT_FLAGS") == "1"
    else " --xla_backend_optimization_level=0"
    + (
        " --xla_cpu_use_fusion_emitters=false"
        if tuple(map(int, metadata.version("jaxlib").split(".")[:3])) <= (0, 11, 0)
        else ""
    )
    + " --xla_cpu_parallel_codegen_split_count=1"
    " --xla_disable_hlo_passes=reshape-mover,simplify-while-loops,while-loop-invariant-code-motion,"
    "while-loop-constant-sinking,hlo-verifier"
)

# JAX notes the calls that led to every operation, which only messages of the compiler show: a tenth of what a
# small program costs. By its environment variable, which notebooks and other processes that tests start read.
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"

import jax
import pytest
from beartype import beartype
from jax._src.interpreters import mlir
from jaxtyping import install_import_hook

_checks = {}


def checked(function):
    """`beartype.beartype`, once for every function of the source: those inside another function are made
    anew whenever that runs, and writing their checks again would take a tenth of the time of tracing. What
    jaxtyping passes is a stand-in with the function's name and annotations, all that a check consists of.
    """
    annotations = tuple(function.__annotations__.items())
    key = function.__module__, function.__qualname__, function.__code__, annotations
    if key not in _checks:
        _checks[key] = beartype(function)
    return _checks[key]


# Annotations are checked when the packages are imported, so the hook stays installed for the whole run.
_hook = install_import_hook(["gated_lift", "solvers"], "conftest.checked")

# Tracing makes many objects and few cycles: looking for these as often as Python does takes a tenth of the
# time.
gc.set_threshold(100_000, 50, 100)

# JAX makes a new MLIR context for every program and loads all its dialects into it, a quarter of what the
# program of one small operation costs, and tests that compute step by step compile thousands of those. One
# context holds those of a file. A private name of JAX: where it goes by another, tests only take longer.
_context = functools.cache(getattr(mlir, "make_ir_context", object))
mlir.make_ir_context = _context

# Nor is there a use for a fingerprint of every program, for a cache on disk that only test_loop has.
jax.config.update("jax_enable_compilation_cache", False)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config):
    """The marked tests prove nothing of XLA's default flags unless they run with them."""
    if config.option.markexpr == "default_flags" and os.environ.get("DEFAULT_FLAGS") != "1":
        raise pytest.UsageError("-m default_flags needs the environment variable DEFAULT_FLAGS=1")


# Files that take longest, the longest first.
LONGEST = (
    "test_loop",
    "test_notebooks",
    "test_pipeline",
    "test_trajectory",
    "test_processes",
    "test_lifting",
    "test_batches",
    "test_trajectory_units",
    "test_solve_weights",
    "test_trajectory_begin",
    "test_robust",
    "test_trajectory_unsolved",
    "test_trajectory_arguments",
    "test_camera_path",
    "test_report_browser",
    "test_stretches",
    "test_smoothing",
    "test_demo",
    "test_takes",
    "test_trajectory_rows",
    "test_block_banded",
    "test_temporal",
    "test_occlusion",
    "test_checkpoints",
    "test_sequence",
)


def pytest_collection_modifyitems(items):
    """The longest files first: two processes that take one file after the other then end together."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_collection_finish():
    """What importing has made stays to the end: no search for cycles, of which each file makes one below,
    need go through it.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def programs_of_one_file():
    """Compiled programs end with the file that needed them: JAX keeps every one, each in memory pages of its
    own, and after some thousand the system refuses a process more pages, which XLA does not survive.
    """
    yield
    jax.clear_caches()
    _context.cache_clear()
    gc.collect()


@pytest.fixture
def float64():
    """Runs one test in double precision; the rest of the suite stays in float32, where training happens."""
    with jax.enable_x64(True):
        yield
