"""Scores anybody's 3D predictions for a frozen set of two people who hide each other before a moving camera.

    python -m experiments.score --data cmu_single.npz cmu_pairs.npz --write-inputs inputs.npz
    python -m experiments.score predictions.npz --data cmu_single.npz cmu_pairs.npz
    python -m experiments.score predictions.npz --scenes moving-pairs-v1.npz --lifter two_stream

The first writes what a network may see: keypoints, masks, intrinsics and the camera's path. The second reads
what the network says, `joints` (frames, 2, 17, 3) in metres in camera axes, and prints every metric by
occlusion and by kind of scene. The third takes scenes that were built before, and judges a network of ours
beside it. docs/data_card.md has the layout of both files and an example.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from experiments import reporting
from experiments.commands import run_script, tell
from experiments.judging import pairs as judging
from experiments.judging.pairs import Predictions
from experiments.judging.protocol import network_names
from gated_lift.networks.checkpoints import load_lifter
from gated_lift.readers import motion
from gated_lift.synthetic import moving_pairs
from gated_lift.synthetic.moving_pairs import FROZEN, MovingPair


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Which predictions are scored on which scenes."""

    predictions: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files (.npz) of predictions, one a network."""
    data: tuple[Path, ...] = ()
    """Capture files (.npz) from which the set is built: single people and couples."""
    scenes: Path | None = None
    """The set as experiments.moving_pairs wrote it (.npz), instead of building it again."""
    set: Literal["moving-pairs-v1", "moving-pairs-v1-wrong", "moving-pairs-v2"] = "moving-pairs-v1"
    """Its hash is checked either way."""
    lifter: tuple[str, ...] = ()
    """Networks of ours to judge beside them: names of weights that ship, or checkpoint folders."""
    write_inputs: Path | None = None
    """Where to write what a network may see of the set (.npz)."""
    write_predictions: Path | None = None
    """Where to write what the one network named by lifter says of it (.npz), as an example of the layout."""
    output: Path = Path("score.md")
    """Where the tables go."""


TRUTH = "truth"
HEADINGS = ("joints %", *(heading for heading, _ in judging.COLUMNS.values()))
LEGEND = (
    "Millimetres where no unit is named. visible, hidden: by what the network is told of the joint; fully "
    "hidden: no joint of the person is seen on the frame. Velocities and the like are visible where the "
    "joint is on all their frames. W-MPJPE, WA-MPJPE, RTE, jitter and foot slide are in world axes, to which "
    "the true path of the camera brings the joints; W- and WA-MPJPE in chunks of 100 frames. foot slide: how "
    "fast an ankle moves over the floor while the true one stands; skating: share of that time in which it "
    "moves faster than 0.5 m/s. missing: people of whom nothing is said on a frame, who are misses in PCK "
    "and AUC and left out elsewhere; unplaced: poses that are nowhere in space. Compare networks where both "
    "are 0.",
)


def score(config: ScoreConfig) -> None:
    """Prints the tables and writes them as Markdown; writes the files that are asked for."""
    names = [path.stem for path in config.predictions]
    ours = network_names([Path(name) for name in config.lifter], ())
    every = [*names, *ours, TRUTH]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        raise ValueError(f"several networks are called {', '.join(twice)}: rename the files or folders")
    if not (config.predictions or config.lifter or config.write_inputs):
        raise ValueError("predictions is empty: name files to score, a lifter, or where to write-inputs")
    if config.write_predictions and len(config.lifter) != 1:
        raise ValueError(f"write-predictions is for one --lifter, {len(config.lifter)} are named: name one")
    console = reporting.console()
    lifters = [load_lifter(name) for name in config.lifter]
    pairs = read_scenes(config)
    found = {
        name: judging.read_predictions(path, pairs)
        for name, path in zip(names, config.predictions, strict=True)
    }
    if config.write_inputs:
        console.print(f"wrote {judging.write_inputs(config.write_inputs, pairs, config.set)}")
    for name, lifter in zip(ours, lifters, strict=True):
        found[name] = judging.predict(lifter, pairs)
        if config.write_predictions:
            console.print(f"wrote {judging.write_predictions(config.write_predictions, pairs, found[name])}")
    if found:
        tables(config, pairs, {**found, TRUTH: judging.truth(pairs)})


def read_scenes(config: ScoreConfig) -> tuple[MovingPair, ...]:
    """The frozen set, read or built. Raises ValueError unless one way is named."""
    if (config.scenes is None) == (not config.data):
        raise ValueError(f"data or scenes: name the capture files of {config.set}, or its scenes, not both")
    if config.scenes is not None:
        return moving_pairs.read_pairs(config.scenes, FROZEN[config.set].sha256)
    return moving_pairs.frozen_set(motion.read_clips(config.data), config.set)


def tables(config: ScoreConfig, pairs: Sequence[MovingPair], found: dict[str, Predictions]) -> None:
    """Judges, prints and writes."""
    console = reporting.console()
    parts = [judging.rows_of(name, judging.judge_pairs(said, pairs)) for name, said in found.items()]
    by_occlusion, by_kind = ([row for part in parts for row in part[which]] for which in (0, 1))
    kinds = ("network", "scenes", "joints", *HEADINGS)
    reporting.show(console, kinds, by_kind)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    reporting.report(
        console,
        ("network", "joints", *HEADINGS),
        by_occlusion,
        config.output,
        names=2,
        before=[f"# {config.set}", "", f"sha256 {moving_pairs.fingerprint(pairs)}"],
        after=["By kind of scene:", "", *reporting.markdown(kinds, by_kind, 3), "", *LEGEND],
    )
    console.print(f"wrote {config.output}")


def command(arguments: list[str]) -> int:
    """0, or 2 after one line on standard error about what was wrong."""
    config = tyro.cli(ScoreConfig, prog="score", description=__doc__, args=arguments)
    try:
        score(config)
    except (ValueError, OSError) as error:
        tell("score", error)
        return 2
    return 0


def main() -> None:
    sys.exit(command(sys.argv[1:]))


if __name__ == "__main__":
    run_script(main)
