"""Generated crowds: what a scene holds, and that it follows from its recipe. Two people: one compilation."""

import numpy as np
import pytest

from experiments.judge_tracking import FrozenSet, build, judge_scene, scores
from gated_lift.synthetic.crowds import CrowdRecipe, crowd, fingerprint

RECIPE = CrowdRecipe(seed=1, people=(2, 2), frames=90, hiding=(0.1, 1.0), ghosts=1.0)


@pytest.fixture(scope="module")
def scene():
    return crowd(RECIPE, 0)


def test_rows_are_what_the_scene_says_of_them(scene):
    given = scene.detections
    assert (np.diff(given.frame) >= 0).all() and given.ids is None
    assert scene.truth.shape == (2, 90, 17, 2) and set(scene.person) <= {-1, 0, 1}
    mine = scene.person >= 0
    pairs = set(zip(given.frame[mine].tolist(), scene.person[mine].tolist(), strict=True))
    assert len(pairs) == mine.sum(), "nobody is found twice"
    sure = (given.confidence[mine] > 0.8) & ~scene.moved[mine]
    error = np.linalg.norm(given.keypoints - scene.truth[scene.person, given.frame], axis=-1)[mine][sure]
    height = np.ptp(scene.truth[..., 1], axis=2).max()
    assert np.median(error) < 0.03 * height
    # The one behind is not found for a while in the middle, and comes back.
    missing = min((scene.person == person).sum() for person in (0, 1))
    assert missing < 90


def test_a_scene_follows_from_its_recipe_and_has_a_hash(scene):
    again = crowd(RECIPE, 0)
    assert fingerprint([scene]) == fingerprint([again])
    assert fingerprint([crowd(RECIPE, 1)]) != fingerprint([scene])
    wanted = FrozenSet("other", RECIPE, 1, "0" * 64)
    with pytest.raises(ValueError, match="expected 0000"):
        build(wanted, None)


def test_bad_recipes_are_named():
    with pytest.raises(ValueError, match=r"people is \(3, 9\)"):
        crowd(RECIPE._replace(people=(3, 9)), 0)


def test_true_identities_have_no_switch_and_exchanged_ones_have(scene):
    pytest.importorskip("trackeval")
    best = judge_scene(scene, scene.person)
    late = scene.detections.frame >= 45
    exchanged = np.where(late & (scene.person >= 0), 1 - scene.person, scene.person)
    worse = judge_scene(scene, exchanged)
    assert best.clean and not worse.clean
    a, b = scores([best.data]), scores([worse.data])
    assert a["HOTA"] > b["HOTA"] + 10 and a["IDF1"] > b["IDF1"] + 10 and a["switches"] < b["switches"]
