"""Who stands in the tables: our network and its rivals, each a configuration of `experiments.train`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from experiments import evaluate
from experiments.configs import ABLATION, HOSSAIN, LIN, SMALL, TRAJECTORY, Network, TrainConfig, as_json
from experiments.evaluate import EvaluateConfig, Totals
from experiments.train import train
from gated_lift import checkpoints


class Contestant(NamedTuple):
    """method: its name in the paper's tables. how: what sets it apart from others of that name."""

    method: str
    how: str
    config: TrainConfig


def _unmasked(config: TrainConfig) -> TrainConfig:
    return replace(config, masks=config.masks._replace(masked_share=0.0))


_PLAIN = replace(SMALL, network=Network(gating="none"))

# The rivals as the paper feeds them (trained without occlusion, gaps interpolated), and trained on our masks.
CONTESTANTS = {
    "hossain": Contestant("Hossain et al.", "as in the paper", _unmasked(HOSSAIN)),
    "hossain_masks": Contestant("Hossain et al.", "trained on masks", HOSSAIN),
    "pavllo": Contestant("Pavllo et al.", "as in the paper", _unmasked(_PLAIN)),
    "pavllo_masks": Contestant("Pavllo et al.", "trained on masks", _PLAIN),
    "lin": Contestant("Lin et al.", "as in the paper", _unmasked(LIN)),
    "lin_masks": Contestant("Lin et al.", "trained on masks", LIN),
    "proposed": Contestant("Proposed", "gaps filled, with their age", SMALL),
}
# VideoPose3D's second network, which places what the first one lifts, in the same two versions.
TRAJECTORIES = {
    "pavllo": Contestant("Pavllo et al.", "trajectory network, as in the paper", _unmasked(TRAJECTORY)),
    "pavllo_masks": Contestant("Pavllo et al.", "trajectory network, trained on masks", TRAJECTORY),
}

_LONGER = replace(ABLATION, epochs=16, learning_rate_decay=0.84)


def _changed(**changes) -> TrainConfig:
    return replace(_LONGER, network=Network(channels=128, **changes))


def _masked(**changes) -> TrainConfig:
    return replace(_LONGER, masks=_LONGER.masks._replace(**changes))


# What the paper asserts or leaves open, each against `two_stream` with all else equal.
ABLATIONS = {
    "two_stream": ("Eq. 2: two streams", _LONGER),
    "single_stream": ("Eq. 1: one stream", _changed(gating="single_stream")),
    "mask_input": ("the mask as further input channels", _changed(gating="mask_input")),
    "plain": ("no mask", _changed(gating="none")),
    "zeros": ("zeros for hidden keypoints", _changed(fill="zero")),
    "field_9": ("receptive field 9", _changed(filter_widths=(3, 3))),
    "field_81": ("receptive field 81", _changed(filter_widths=(3, 3, 3, 3))),
    "field_243": ("receptive field 243", _changed(filter_widths=(3, 3, 3, 3, 3))),
    "single_stream_81": ("one stream, 81", _changed(gating="single_stream", filter_widths=(3, 3, 3, 3))),
    "masked_0": ("no masks in training", _masked(masked_share=0.0)),
    "masked_100": ("every window masked", _masked(masked_share=1.0)),
    "ratio_50": ("masks of 2-50 % only", _masked(ratio=(0.02, 0.5))),
    "kernel_25": ("masks of K = 25 only", _masked(kernel_frames=(25,))),
    "kernel_150": ("masks of K = 150 only", _masked(kernel_frames=(150,))),
    "neighbours": ("neighbouring outputs, no velocity term", replace(_LONGER, chunk_stride=1)),
    "velocity": (
        "neighbouring outputs, velocity term",
        replace(_LONGER, chunk_stride=1, velocity_weight=1.0),
    ),
}


def ensure_trained(
    config: TrainConfig, folder: Path, data: tuple[Path, ...], resume: bool, console: Console
) -> Path:
    """The checkpoint folder of a finished run in ``folder``; trains (or goes on) where there is none.

    A finished run has its curves, which are drawn last. Without ``resume`` a run that is there is refused, as
    `train` refuses it.
    """
    finished = folder / "checkpoints"
    if resume and (folder / "curves.png").exists() and checkpoints.newest_step(finished) is not None:
        return finished
    console.rule(f"training {folder.name}")
    return train(replace(config, data=data, output=folder, resume=resume), console)


class Laboratory(NamedTuple):
    """Where networks come from and are kept: a run folder each in ``runs``, with their errors beside them."""

    data: tuple[Path, ...]
    runs: Path
    choose_subjects: tuple[str, ...]
    resume: bool

    def lifter(self, name: str, console: Console) -> checkpoints.LoadedLifter:
        return checkpoints.load_lifter(self._checkpoint(name, console))

    def totals(self, name: str, console: Console, placed: bool = False) -> Totals:
        """Errors on the validation split, those of an ablation on the subjects to choose on.

        placed: people stand where the contestant's own trajectory network puts them.
        """
        chosen = name in ABLATIONS
        path = self._checkpoint(name, console)
        placer = self._trajectory(name, console) if placed else None
        config = EvaluateConfig(
            checkpoint=(path,) if placer is None else (path, placer),
            data=self.data,
            subjects=self.choose_subjects if chosen else (),
            ratios=(0.0, 0.5) if chosen else (0.0, 0.25, 0.5, 0.75),
            kernel_frames=(25, 75) if chosen else (25, 75, 150),
        )
        kept = path.parent / ("totals_placed.npz" if placed else "totals.npz")
        steps = [checkpoints.newest_step(each) for each in config.checkpoint]
        described = json.dumps(as_json(config) | {"steps": steps}, indent=1)
        settings = kept.with_suffix(".json")
        if kept.exists() and settings.exists() and settings.read_text() == described:
            return evaluate.load_totals(kept)
        clips = evaluate.read_people(config)
        fps = clips[0].fps
        seen = {
            length: evaluate.see(config, length, people, fps)
            for length, people in evaluate.cut(clips).items()
        }
        loaded = checkpoints.load_lifter(path)
        trajectory = None if placer is None else checkpoints.load_lifter(placer)
        found = evaluate.measure(config, name, loaded, seen, fps, console, trajectory)
        evaluate.save_totals(kept, found)
        settings.write_text(described)
        return found

    def _checkpoint(self, name: str, console: Console) -> Path:
        if name in ABLATIONS:
            folder, config = self.runs / "ablations" / name, ABLATIONS[name][1]
            config = replace(config, exclude_subjects=self.choose_subjects)
        else:
            folder, config = self.runs / name, CONTESTANTS[name].config
        return ensure_trained(config, folder, self.data, self.resume, console)

    def _trajectory(self, name: str, console: Console) -> Path:
        folder = self.runs / f"{name}_trajectory"
        return ensure_trained(TRAJECTORIES[name].config, folder, self.data, self.resume, console)
