"""Judges which rows of a frame are taken for one person (`gated_lift.tracking.doubles`) on generated crowds:
pairs of different people must stay two, and a person who is reported again, with other noise, must be one.

python -m experiments.judge_doubles
"""

import dataclasses

import numpy as np
import tyro

from experiments.commands import run_script
from gated_lift.synthetic.crowds import CrowdRecipe, crowd
from gated_lift.tracking.doubles import same_person
from gated_lift.tracking.figure import figure_of, sizes

UNSURE = 0.6  # joints of less confidence are partly covered, and guessed anew by each answer
GUESS = 0.03  # heights between two guesses of such a joint, standard deviation
MISSED = 0.15  # share of the joints that the second answer does not see


@dataclasses.dataclass(frozen=True)
class DoublesConfig:
    """On which scenes; settings were chosen on seeds 5100 (crowds) and 5200 (pairs)."""

    crowds: int = 5300
    """Seed of the scenes of three to eight people."""
    pairs: int = 5400
    """Seed of the scenes of two people, one of whom is hidden for a while."""
    scenes: int = 8
    """Of each kind."""
    noise: tuple[float, ...] = (0.003, 0.006, 0.01, 0.015, 0.02)
    """Heights between two answers for a joint that is seen well, standard deviation."""


def judge(config: DoublesConfig) -> list[str]:
    """A line for people who stand before each other, and one for each noise of doubles."""
    recipes = (
        CrowdRecipe(seed=config.crowds, people=(3, 8)),
        CrowdRecipe(seed=config.pairs, people=(2, 2), hiding=(0.1, 1.0)),
    )
    scenes = [crowd(recipe, index) for recipe in recipes for index in range(config.scenes)]
    figure = figure_of(scenes[0].detections.skeleton)
    rng = np.random.default_rng(1)
    pairs = merged = 0
    found = np.zeros((len(config.noise), 2), int)
    for scene in scenes:
        given = scene.detections
        seen = np.isfinite(given.keypoints).all(axis=-1) & (given.confidence >= 0.3)
        for apart in range(1, int(np.bincount(given.frame).max())):
            one = np.flatnonzero(given.frame[apart:] == given.frame[:-apart])
            one = one[(scene.person[one] >= 0) & (scene.person[one + apart] >= 0)]
            rows = given.keypoints[one], seen[one], given.keypoints[one + apart], seen[one + apart]
            pairs += len(one)
            merged += int(same_person(*rows, figure).sum())
        size = np.nan_to_num(sizes(np.nan_to_num(given.keypoints), seen, figure))[:, None, None]
        unsure = (given.confidence < UNSURE)[..., None]
        for number, noise in enumerate(config.noise):
            off = np.where(unsure, np.hypot(noise, GUESS), noise) * rng.normal(size=given.keypoints.shape)
            again = seen & (rng.random(seen.shape) > MISSED)
            same = same_person(given.keypoints, seen, given.keypoints + off * size, again, figure)
            found[number] += same.sum(), len(same)
    lines = [f"two people: {merged} of {pairs} pairs taken for one"]
    for noise, (same, total) in zip(config.noise, found, strict=True):
        lines.append(
            f"one person twice, {100 * noise:g} % of the height apart: {100 * same / total:.1f} % merged"
        )
    return lines


def main() -> None:
    print("\n".join(judge(tyro.cli(DoublesConfig, description=__doc__))))


if __name__ == "__main__":
    run_script(main)
