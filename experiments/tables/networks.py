"""Who stands in the tables: our network and its rivals, each a configuration of `experiments.train`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console

from experiments.judging import stretches, takes
from experiments.judging.stretches import EvaluateConfig
from experiments.judging.takes import Human36mConfig
from experiments.judging.totals import Totals, load_totals, save_totals
from experiments.runs import as_json
from experiments.solve_weights import TuneConfig, tune
from experiments.training.configs import (
    ABLATION,
    AS_WRITTEN,
    ATTENTION,
    HOSSAIN,
    LIN,
    OURS,
    SMALL,
    TRAJECTORY,
    VARIED,
    TrainConfig,
)
from experiments.training.loop import train
from gated_lift.networks import checkpoints
from gated_lift.readers import motion
from gated_lift.readers.human36m import read_takes
from gated_lift.synthetic import moving_pairs

# What places the lifted poses: Eq. 9, Eq. 9 with weights learned for the network, or the contestant's own
# trajectory network.
PlacedBy = Literal["solve", "learned solve", "network"]


class Contestant(NamedTuple):
    """method: its name in the paper's tables. how: what sets it apart from others of that name."""

    method: str
    how: str
    config: TrainConfig


def _unmasked(config: TrainConfig) -> TrainConfig:
    return replace(config, masks=config.masks._replace(masked_share=0.0))


_PLAIN = replace(SMALL, network=OURS.replace(gating="none"), loss="distance")

# The rivals as the paper feeds them (trained without occlusion, gaps interpolated), and trained on our masks;
# a rival that is younger than the paper; the paper's network, with what it reads as written and as we feed
# it, and that on varied movements.
CONTESTANTS = {
    "hossain": Contestant("Hossain et al.", "as in the paper", _unmasked(HOSSAIN)),
    "hossain_masks": Contestant("Hossain et al.", "trained on masks", HOSSAIN),
    "pavllo": Contestant("Pavllo et al.", "as in the paper", _unmasked(_PLAIN)),
    "pavllo_masks": Contestant("Pavllo et al.", "trained on masks", _PLAIN),
    "lin": Contestant("Lin et al.", "as in the paper", _unmasked(LIN)),
    "lin_masks": Contestant("Lin et al.", "trained on masks", LIN),
    "attention_masks": Contestant("Attention", "trained on masks", ATTENTION),
    "as_written": Contestant(
        "Proposed", "zeros and bits, as written", replace(SMALL, network=AS_WRITTEN, context_frames=0)
    ),
    "proposed": Contestant("Proposed", "gaps filled, with their age", SMALL),
    "varied": Contestant("Proposed", "and on varied movements", VARIED),
}
# VideoPose3D's second network, which places what the first one lifts, in the same two versions.
TRAJECTORIES = {
    "pavllo": Contestant("Pavllo et al.", "trajectory network, as in the paper", _unmasked(TRAJECTORY)),
    "pavllo_masks": Contestant("Pavllo et al.", "trajectory network, trained on masks", TRAJECTORY),
}

_LONGER = replace(ABLATION, epochs=16, learning_rate_decay=0.84)


def _changed(**changes) -> TrainConfig:
    return replace(_LONGER, network=OURS.replace(channels=128, **changes))


def _masked(**changes) -> TrainConfig:
    return replace(_LONGER, masks=_LONGER.masks._replace(**changes))


# What the paper asserts or leaves open, each against `two_stream` with all else equal.
ABLATIONS = {
    "two_stream": ("Eq. 2: two streams", _LONGER),
    "single_stream": ("Eq. 1: one stream", _changed(gating="single_stream")),
    "mask_input": ("the mask as further input channels", _changed(gating="mask_input")),
    "plain": ("no mask", _changed(gating="none")),
    "zeros": ("zeros for hidden keypoints", _changed(fill="zero")),
    "field_81": ("receptive field 81", _changed(filter_widths=(3, 3, 3, 3))),
    "field_243": ("receptive field 243", _changed(filter_widths=(3, 3, 3, 3, 3))),
    "single_stream_81": ("one stream, 81", _changed(gating="single_stream", filter_widths=(3, 3, 3, 3))),
    "masked_0": ("no masks in training", _masked(masked_share=0.0)),
    "masked_100": ("every window masked", _masked(masked_share=1.0)),
    "ratio_50": ("masks of 2-50 % only", _masked(ratio=(0.02, 0.5))),
    "kernel_25": ("masks of K = 25 only", _masked(kernel_frames=(25,))),
    "kernel_150": ("masks of K = 150 only", _masked(kernel_frames=(150,))),
    "halves_turned": ("halves and turns", replace(_LONGER, recombined_share=0.5, turned_share=0.5)),
    "plain_halves_turned": (
        "no mask, halves and turns",
        replace(
            _LONGER,
            network=OURS.replace(channels=128, gating="none"),
            recombined_share=0.5,
            turned_share=0.5,
        ),
    ),
    "distance": ("a distance for a loss", replace(_LONGER, loss="distance")),
    "body_05": ("bodies varied by 5 %", replace(_LONGER, body_spread=0.05)),
    "body_10": ("bodies varied by 10 %", replace(_LONGER, body_spread=0.1)),
    "neighbours": ("neighbouring outputs, no velocity term", replace(_LONGER, chunk_stride=1)),
    "velocity": (
        "neighbouring outputs, velocity term",
        replace(_LONGER, chunk_stride=1, velocity_weight=100.0),
    ),
}


class Human36mFiles(NamedTuple):
    """VideoPose3D's files; without positions_3d there are none, and the captures are used.

    positions_3d: data_3d_h36m.npz. keypoints_2d: the detections, such as data_2d_h36m_cpn_ft_h36m_dbb.npz.
    cameras: a camera file (.json), or the ground-truth 2D (.npz) to find them from. allow_pickle: read files
    that hold pickles.
    """

    positions_3d: Path | None = None
    keypoints_2d: Path | None = None
    cameras: Path | None = None
    allow_pickle: bool = False


def contestants_on(files: Human36mFiles) -> list[str]:
    """Those that can be trained: recorded people keep their movements."""
    return [
        name for name, who in CONTESTANTS.items() if not (files.positions_3d and who.config.recombined_share)
    ]


def on_human36m(config: TrainConfig, files: Human36mFiles) -> TrainConfig:
    """The configuration on the recorded keypoints of S1, S5, S6, S7 and S8."""
    return replace(
        config,
        data=(),
        exclude_subjects=(),
        human36m=files.positions_3d,
        keypoints_2d=files.keypoints_2d,
        cameras=files.cameras,
        allow_pickle=files.allow_pickle,
    )


def ensure_trained(config: TrainConfig, folder: Path, resume: bool, console: Console) -> Path:
    """The checkpoint folder of a finished run in ``folder``; trains (or goes on) where there is none.

    A finished run has its curves, which are drawn last. Without ``resume`` a run that is there is refused, as
    `train` refuses it.
    """
    finished = folder / "checkpoints"
    if resume and (folder / "curves.png").exists() and checkpoints.newest_step(finished) is not None:
        return finished
    console.print(f"[bold]training {folder.name}[/bold]")
    return train(replace(config, output=folder, resume=resume), console)


class Laboratory(NamedTuple):
    """Where networks come from and are kept: a run folder each in ``runs``, with their errors beside them."""

    data: tuple[Path, ...]
    runs: Path
    choose_subjects: tuple[str, ...]
    resume: bool
    human36m: Human36mFiles = Human36mFiles()

    def lifter(self, name: str, console: Console) -> checkpoints.LoadedLifter:
        return checkpoints.load_lifter(self._checkpoint(name, console))

    def totals(self, name: str, console: Console, placed_by: PlacedBy = "solve") -> Totals:
        """Errors on the validation split, those of an ablation on the subjects to choose on."""
        if self.human36m.positions_3d:
            return self._on_human36m(name, console, placed_by)
        chosen = name in ABLATIONS
        path = self._checkpoint(name, console)
        config = EvaluateConfig(
            checkpoint=(path,),
            root_network=self._trajectory(name, console) if placed_by == "network" else None,
            solve=self._solve(name, path, console) if placed_by == "learned solve" else None,
            data=self.data,
            subjects=self.choose_subjects if chosen else (),
            ratios=(0.0, 0.5) if chosen else (0.0, 0.25, 0.5, 0.75),
            kernel_frames=(25, 75) if chosen else (25, 75, 150),
        )

        def measure(networks: list[checkpoints.LoadedLifter]) -> Totals:
            clips = stretches.read_people(config)
            fps = clips[0].fps
            cut = stretches.cut(clips)
            seen = {length: stretches.see(config, length, people, fps) for length, people in cut.items()}
            loaded, *others = networks
            return stretches.measure(config, name, loaded, seen, fps, console, *others)

        return _judged(config, config.root_network, _file_of(placed_by), measure)

    def _on_human36m(self, name: str, console: Console, placed_by: PlacedBy) -> Totals:
        """Errors on S9 and S11."""
        positions_3d, keypoints_2d, cameras, allow_pickle = self.human36m
        if positions_3d is None or keypoints_2d is None:
            raise ValueError("human36m lacks keypoints_2d: name the 2D file that belongs to positions_3d")
        path = self._checkpoint(name, console)
        root_network = self._trajectory(name, console) if placed_by == "network" else None
        config = Human36mConfig(
            (path,), positions_3d, keypoints_2d, cameras, allow_pickle, kernel_frames=(25, 75, 150)
        )

        def measure(networks: list[checkpoints.LoadedLifter]) -> Totals:
            views = read_takes(positions_3d, keypoints_2d, cameras, allow_pickle, config.subjects)
            loaded, *others = networks
            return takes.measure(config, name, loaded, takes.join_views(views), console, *others)

        return _judged(config, root_network, _file_of(placed_by), measure)

    def on_moving_pairs(self, name: str, console: Console) -> Totals:
        """Errors on the frozen set of people before a moving camera, with its own occlusions alone."""
        config = EvaluateConfig(
            checkpoint=(self._checkpoint(name, console),), data=self.data, ratios=(0.0,), kernel_frames=(25,)
        )

        def measure(networks: list[checkpoints.LoadedLifter]) -> Totals:
            pairs = self.moving_pairs(console)
            (loaded,) = networks
            return stretches.measure(
                config, name, loaded, stretches.stretches_of(pairs), pairs[0].fps, console
            )

        return _judged(config, None, moving_pairs.EVALUATION_NAME, measure)

    def moving_pairs(self, console: Console) -> tuple[moving_pairs.MovingPair, ...]:
        """The frozen set, built once and then read; its hash is checked either way."""
        kept = self.runs / f"{moving_pairs.EVALUATION_NAME}.npz"
        if not kept.exists():
            clips = motion.read_clips(self.data)
            with console.status(f"filming {moving_pairs.EVALUATION_NAME}"):
                moving_pairs.write_pairs(kept, moving_pairs.evaluation_set(clips))
        return moving_pairs.read_pairs(kept)

    def _checkpoint(self, name: str, console: Console) -> Path:
        if name in ABLATIONS:
            config = replace(ABLATIONS[name][1], exclude_subjects=self.choose_subjects)
            return self._trained(config, self.runs / "ablations" / name, console)
        return self._trained(CONTESTANTS[name].config, self.runs / name, console)

    def _trajectory(self, name: str, console: Console) -> Path:
        return self._trained(TRAJECTORIES[name].config, self.runs / f"{name}_trajectory", console)

    def _solve(self, name: str, checkpoint: Path, console: Console) -> Path:
        """Weights of Eq. 9 learned for this network."""
        folder = self.runs / f"{name}_solve"
        kept = folder / "solve.json"
        if not kept.exists():
            tune(TuneConfig(data=self.data, checkpoint=checkpoint, output=folder), console)
        return kept

    def _trained(self, config: TrainConfig, folder: Path, console: Console) -> Path:
        if self.human36m.positions_3d:
            config = on_human36m(config, self.human36m)
        else:
            config = replace(config, data=self.data)
        return ensure_trained(config, folder, self.resume, console)


def _file_of(placed_by: PlacedBy) -> str:
    return {"solve": "totals", "learned solve": "totals_learned_solve", "network": "totals_network"}[
        placed_by
    ]


def _judged(
    config: EvaluateConfig | Human36mConfig,
    root_network: Path | None,
    what: str,
    measure: Callable[[list[checkpoints.LoadedLifter]], Totals],
) -> Totals:
    """Errors of the config's network, kept beside its checkpoints as long as the weights, those of the solve
    included, and the settings are the same.
    """
    kept = Path(config.checkpoint[0]).parent / f"{what}.npz"
    settings = kept.with_suffix(".json")
    paths = [Path(path) for path in (*config.checkpoint, root_network) if path]
    weights = [checkpoints.fingerprint(path) for path in paths]
    solve = config.solve.read_text() if isinstance(config, EvaluateConfig) and config.solve else None
    described = json.dumps(as_json(config) | {"weights": weights, "solve_weights": solve}, indent=1)
    if kept.exists() and settings.exists() and settings.read_bytes() == described.encode():
        return load_totals(kept)
    found = measure([checkpoints.load_lifter(path) for path in paths])
    save_totals(kept, found)
    settings.write_text(described)
    return found
