"""Every reader under damaged files, to find anything but its own named errors.

    python -m experiments.fuzzing --cases 100000
    python -m experiments.fuzzing --cases 2000 --targets npz captures --output runs/fuzzing

A small whole file of each reader is damaged: bits, cuts, doublings, odd values in the place of others, arrays
of other kinds and shapes, objects that would run code when unpickled. With ``--invented`` Hypothesis (extra
``test``) makes trees of JSON and tables of the words that such files hold. Every case has to be read or
refused with a ValueError on one line that names the file, within a second and 200 MiB, and nothing may be
unpickled. What is not is kept in the output folder, with the seed. A case is decided by its seed alone.

``--atheris SECONDS`` goes on with coverage-guided mutations of every reader for so long, where Atheris is
installed (pip install atheris).
"""

import dataclasses
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from rich.progress import track

from experiments import reporting
from experiments.checks import COUNT, NOT_NEGATIVE, SEED, WHOLE, check_numbers
from experiments.commands import run_script
from experiments.fuzzing.damage import damaged, damaged_bytes, odd_arrays, replaced
from experiments.fuzzing.targets import TARGETS, Target

SLOWEST = 1.0  # seconds
LARGEST = 200.0  # MiB
LONGEST_MESSAGE = 1000
BINARY = (".npz", ".c3d")  # suffixes of what is no text


@dataclasses.dataclass(frozen=True)
class FuzzConfig:
    """How many cases, and of which readers."""

    cases: int = 100_000
    """Over all readers."""
    targets: tuple[str, ...] = ()
    """Names of readers; all of them unless given."""
    invented: int = 0
    """Cases besides, over all readers of text, that Hypothesis invents."""
    atheris: float = 0.0
    """Seconds of coverage-guided mutations for every reader."""
    seed: int = 0
    output: Path = Path("runs/fuzzing")
    """Folder for fuzzing.md and for the files that were not answered as promised."""


class Outcome(NamedTuple):
    """kind: "read", "refused", or what was wrong. message: of the error, if any."""

    kind: str
    message: str
    seconds: float


def judge(target: Target, path: Path) -> Outcome:
    """Reads a file and says how that went."""
    os.environ.pop("GATED_LIFT_TRAP", None)
    began = time.process_time()  # other programs are not to count
    kind, message = "read", ""
    try:
        target.read(path)
    except ValueError as error:
        message = str(error)
        named = path.name in message or str(path.parent) in message
        one_line = "\n" not in message and len(message) <= LONGEST_MESSAGE
        kind = "refused" if named and one_line else "refused, but not by name on one line"
    except Exception as error:  # whatever else a reader raises is what is looked for
        kind, message = f"raised {type(error).__name__}", str(error)
    seconds = time.process_time() - began
    if os.environ.pop("GATED_LIFT_TRAP", None):
        kind = "unpickled"
    elif seconds > SLOWEST:
        kind = f"took more than {SLOWEST:g} s"
    return Outcome(kind, message, seconds)


def spoil(target: Target, path: Path, whole: bytes, seed: int) -> None:
    """Writes the case of a seed in the place of the whole file."""
    rng = np.random.default_rng(seed)
    if path.suffix == ".npz":
        if seed % 2:
            path.write_bytes(damaged_bytes(whole, seed))
            return
        path.write_bytes(whole)
        # The whole file is this study's own; VideoPose3D's layout is pickled.
        with np.load(path, allow_pickle=True) as arrays:
            held = odd_arrays(dict(arrays), seed)
        np.savez(path, **held)
    elif path.suffix in BINARY:
        path.write_bytes(damaged_bytes(whole, seed))
    elif seed % 3 == 0:
        path.write_bytes(replaced(whole, rng))
    else:
        path.write_bytes(damaged(whole.decode(), seed))


def cases(target: Target, folder: Path, count: int, seed: int) -> Iterator[tuple[int, Path, Outcome]]:
    """The cases of one reader, one after the other in the place of its file."""
    path = target.write(folder)
    whole = path.read_bytes()
    first = judge(target, path)
    if first.kind not in ("read", "refused"):
        yield -1, path, first
    for number in range(count):
        case = seed + number
        spoil(target, path, whole, case)
        yield case, path, judge(target, path)


def invented(target: Target, folder: Path, count: int, seed: int) -> Iterator[tuple[int, Path, Outcome]]:
    """Files of the reader's own words in other trees and tables, which Hypothesis makes up."""
    import hypothesis
    from hypothesis import strategies

    path = target.write(folder)
    if path.suffix in BINARY:
        return
    whole = path.read_text()
    words = sorted({"frames", *re.findall(r"[A-Za-z_]{2,30}", whole)})[:60]
    numbers = strategies.floats() | strategies.integers() | strategies.integers(0, 1300)
    leaf = numbers | strategies.none() | strategies.booleans() | strategies.sampled_from(words)
    tree = strategies.recursive(
        leaf | strategies.text(max_size=8),
        lambda inner: (
            strategies.lists(inner, max_size=6)
            | strategies.dictionaries(strategies.sampled_from(words), inner, max_size=5)
            | strategies.lists(numbers, min_size=50, max_size=60)
        ),
        max_leaves=30,
    )
    line = strategies.lists(leaf, min_size=1, max_size=8)
    table = strategies.tuples(
        strategies.sampled_from([",", " ", ";", "\t"]), strategies.lists(line, max_size=6)
    )
    texts = strategies.one_of(
        tree.map(json.dumps),
        table.map(lambda each: "\n".join(each[0].join(map(str, row)) for row in each[1])),
        strategies.text(max_size=200),
    )
    found: list[tuple[int, Path, Outcome]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=count, deadline=None, database=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(texts)
    def look(text: str) -> None:
        path.write_text(text, errors="surrogatepass")
        outcome = judge(target, path)
        kept = path
        if outcome.kind not in ("read", "refused"):
            kept = path.with_name(f"{len(found)}{path.suffix}")
            kept.write_bytes(path.read_bytes())
        found.append((len(found), kept, outcome))

    look()
    yield from found


def run(config: FuzzConfig) -> int:
    """Prints, writes and returns how many cases were not answered as promised."""
    check_numbers(config, {"cases": COUNT, "invented": WHOLE, "atheris": NOT_NEGATIVE, "seed": SEED})
    names = [target.name for target in TARGETS]
    unknown = sorted(set(config.targets) - set(names))
    if unknown:
        raise ValueError(f"targets {', '.join(unknown)} are not known: choose from {', '.join(names)}")
    chosen = [target for target in TARGETS if not config.targets or target.name in config.targets]
    each, more = (-(-count // len(chosen)) for count in (config.cases, config.invented))
    console = reporting.console()
    config.output.mkdir(parents=True, exist_ok=True)
    # What Python imports when a reader runs for the first time is no file's doing.
    for target in chosen:
        with tempfile.TemporaryDirectory() as folder:
            judge(target, target.write(Path(folder)))
    rows, wrong = [], 0
    for target in track(chosen, description="reading", console=console):
        kinds: Counter[str] = Counter()
        slowest, before = 0.0, peak()
        with tempfile.TemporaryDirectory() as folder:
            damages = cases(target, Path(folder), each, config.seed)
            inventions = invented(target, Path(folder), more, config.seed) if more else ()
            for case, path, outcome in itertools.chain(damages, inventions):
                kinds[outcome.kind] += 1
                slowest = max(slowest, outcome.seconds)
                if outcome.kind not in ("read", "refused"):
                    wrong += 1
                    kept = config.output / f"{target.name.replace(', ', '_').replace(' ', '_')}_{case}"
                    kept.with_suffix(path.suffix).write_bytes(path.read_bytes())
                    kept.with_suffix(".txt").write_text(f"{outcome.kind}\n{outcome.message}\n")
        grown = peak() - before
        wrong += grown > LARGEST
        odd = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if kind not in ("read", "refused"))
        rows.append(
            [
                target.name,
                f"{sum(kinds.values()):,}",
                f"{kinds['read']:,}",
                f"{kinds['refused']:,}",
                odd or "none",
                f"{1000 * slowest:.0f}",
                f"{grown:.0f}",
            ]
        )
    columns = ("reader", "cases", "read", "refused", "anything else", "slowest, ms", "memory grew, MiB")
    path = config.output / "fuzzing.md"
    reporting.report(console, columns, rows, path)
    console.print(f"{wrong} cases were not answered as promised; wrote {path}")
    for target in chosen if config.atheris else ():
        wrong += guided(target, config, console)
    return wrong


def peak() -> float:
    """The most memory that this process has had, MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


GUIDED = """
import sys, tempfile
from pathlib import Path
import atheris
with atheris.instrument_imports(include=["gated_lift", "experiments"]):
    from experiments.fuzzing import __main__ as fuzzing
target = next(each for each in fuzzing.TARGETS if each.name == sys.argv[1])
path = target.write(Path(tempfile.mkdtemp()))
def once(data):
    path.write_bytes(data)
    outcome = fuzzing.judge(target, path)
    if outcome.kind not in ("read", "refused"):
        raise RuntimeError(f"{outcome.kind}: {outcome.message}")
corpus = Path(tempfile.mkdtemp())
(corpus / "whole").write_bytes(path.read_bytes())
flags = ["-max_total_time=" + sys.argv[2], "-rss_limit_mb=2048", "-artifact_prefix=" + sys.argv[3] + "/"]
atheris.Setup([sys.argv[0], *flags, str(corpus)], once)
atheris.Fuzz()
"""


def guided(target: Target, config: FuzzConfig, console: reporting.Console) -> int:
    """Mutations that Atheris guides by the lines they reach; 1 if one was not answered as promised."""
    seconds = str(max(1, round(config.atheris)))
    command: Sequence[str] = (sys.executable, "-c", GUIDED, target.name, seconds, str(config.output))
    done = subprocess.run(command, capture_output=True, text=True)
    if "No module named 'atheris'" in done.stderr:
        raise ValueError("atheris is not installed: pip install atheris, or leave --atheris out")
    tried = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    console.print(f"{target.name}: {tried[-1] if tried else done.stderr[-400:]}")
    return int(done.returncode != 0)


def main() -> None:
    sys.exit(min(1, run(tyro.cli(FuzzConfig, description=__doc__))))


if __name__ == "__main__":
    run_script(main)
