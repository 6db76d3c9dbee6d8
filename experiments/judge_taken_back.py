"""Judges which keypoints are taken back (`gated_lift.tracking.swaps`) on generated crowds with known errors.

python -m experiments.judge_taken_back
"""

import dataclasses

import numpy as np
import tyro

from experiments.commands import run_script
from gated_lift.synthetic.crowds import CrowdRecipe, CrowdScene, crowd
from gated_lift.tracking.figure import figure_of
from gated_lift.tracking.swaps import taken_back

# In heights of the person: what is off by more is wrong, what is off by less than the last is right.
SIDE_WRONG, PLACE_WRONG, RIGHT = 0.08, 0.1, 0.05


@dataclasses.dataclass(frozen=True)
class TakenBackConfig:
    """On which scenes; settings were chosen on seeds 55 and 56."""

    seed: int = 57
    scenes: int = 40


def count(scene: CrowdScene) -> np.ndarray:
    """Six numbers: of seen keypoints on the other side those that were hidden and all, the same for those on
    somebody else, and for those that are right. People are the true ones, so that tracking has no part.
    """
    given = scene.detections
    people, frames, joints = scene.truth.shape[:3]
    mine = scene.person >= 0
    place = scene.person[mine], given.frame[mine]
    keypoints = np.full((people, frames, joints, 2), np.nan)
    confidence, moved = np.zeros((people, frames, joints)), np.zeros((people, frames, joints), bool)
    keypoints[place], confidence[place], moved[place] = (
        values[mine] for values in (given.keypoints, given.confidence, scene.moved)
    )
    seen = confidence >= 0.3
    assert given.fps is not None
    back = taken_back(keypoints, ~seen, np.arange(frames) / given.fps, figure_of(given.skeleton))
    height = np.median(np.ptp(scene.truth[..., 1], axis=2))
    error = np.linalg.norm(keypoints - scene.truth, axis=-1) / height
    mirror = given.skeleton.mirror
    paired = np.array([mirror[joint] != joint for joint in range(joints)])
    whole = moved[..., paired].all(axis=-1, keepdims=True)
    side = whole & paired & seen & (error > SIDE_WRONG)
    elsewhere = moved & ~whole & seen & (error > PLACE_WRONG)
    right = ~moved & seen & (error < RIGHT)
    return np.array([n for flags in (side, elsewhere, right) for n in ((back & flags).sum(), flags.sum())])


def main() -> None:
    config = tyro.cli(TakenBackConfig, description=__doc__)
    recipe = CrowdRecipe(seed=config.seed, people=(2, 4))
    total = sum((count(crowd(recipe, index)) for index in range(config.scenes)), np.zeros(6, int))
    names = ("on the other side", "on somebody else", "right")
    for name, hidden, all_of_them in zip(names, total[::2], total[1::2], strict=True):
        print(f"{name}: {hidden} of {all_of_them} hidden ({100 * hidden / max(all_of_them, 1):.2f} %)")


if __name__ == "__main__":
    run_script(main)
