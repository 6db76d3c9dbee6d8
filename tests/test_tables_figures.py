"""The tables' figures: who is shown, and curves from logs."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from experiments.tables import figures


class Pair:
    """A scene of two people with what `longest_hiding` reads."""

    def __init__(self, *hidden):
        self.occluded = np.zeros((2, 200, 17), bool)
        for person, start, stop in hidden:
            self.occluded[person, start:stop] = True


def test_who_is_hidden_for_longest_is_shown():
    one, two = Pair((0, 10, 50), (1, 60, 120)), Pair((0, 20, 90), (1, 100, 199))
    # The 99 frames at the end leave no room after them, the 70 of the other scene's first person do.
    assert figures.longest_hiding([one, two], "dance") == (two, 0, 90)
    partly = Pair((0, 10, 150))
    partly.occluded[0, 100, 3] = False  # one joint is seen on one frame
    assert figures.longest_hiding([partly], "dance") == (partly, 0, 100)
    with pytest.raises(ValueError, match="nobody of kind past who is hidden for more than 30 frames"):
        figures.longest_hiding([Pair((0, 10, 30))], "past")


def test_curves_are_drawn_from_the_logs(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lines = [{"step": n, "epoch": n / 10, "train_mpjpe_m": 0.1 / (1 + n)} for n in range(45)]
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    folders = {name: tmp_path / name for name in ("a", "b")}
    path = figures.training_curves(folders, tmp_path / "curves.png")
    assert (imread(path)[..., :3].mean(axis=-1) < 0.9).mean() > 0.003


def test_mask_strips_of_every_kernel(tmp_path):
    one = imread(figures.masks((25,), tmp_path / "one.png", frames=60))
    two = imread(figures.masks((25, 75), tmp_path / "two.png", frames=60))
    assert two.shape[0] > 1.5 * one.shape[0]
