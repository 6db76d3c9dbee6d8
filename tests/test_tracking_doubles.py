"""People whom a detector reports twice on a frame, against people who stand behind each other."""

import numpy as np
from tracked import crossing, detections_of, identities, project, walkers

from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.generated import Proportions, stand
from gated_lift.tracking import track
from gated_lift.tracking.doubles import merge_doubles
from gated_lift.tracking.figure import figure_of

FIGURE = figure_of(H36M_17)


def twice(made, person, noise=0.008, seed=0):
    """Every row twice, the second one anew from the picture and without some joints, in random order."""
    rng = np.random.default_rng(seed)
    height = np.ptp(made.keypoints[..., 1], axis=-1)[:, None, None]
    again = made.keypoints + noise * height * rng.normal(size=made.keypoints.shape)
    lost = rng.random(made.confidence.shape) < 0.2
    confidence = np.concatenate([made.confidence, np.where(lost, 0.1, made.confidence - 0.1)])
    frame = np.tile(made.frame, 2)
    order = np.lexsort((rng.random(len(frame)), frame))
    doubled = made._replace(
        frame=frame[order],
        keypoints=np.concatenate([made.keypoints, again])[order],
        confidence=confidence[order],
    )
    return doubled, np.tile(person, 2)[order]


def test_who_is_reported_twice_becomes_one_row():
    made, person = crossing(seconds=1.0, hidden=0.2)
    doubled, _ = twice(made, person)
    merged = merge_doubles(doubled._replace(ids=np.arange(len(doubled.frame))), FIGURE)
    np.testing.assert_array_equal(merged.frame, made.frame)
    # The surer row stays whole, and brings its id along.
    np.testing.assert_array_equal(np.sort(merged.keypoints, axis=0), np.sort(made.keypoints, axis=0))
    np.testing.assert_array_equal(doubled.keypoints[merged.ids], merged.keypoints)
    # Three times is once too, and joints come from whoever is surer of them.
    one = made._replace(
        frame=np.zeros(3, int), keypoints=made.keypoints[[0] * 3], confidence=np.eye(3, 17) + 0.4
    )
    np.testing.assert_allclose(merge_doubles(one, FIGURE).confidence, [[1.4] * 3 + [0.4] * 14])
    nobody = made._replace(frame=made.frame[:0], keypoints=made.keypoints[:0], confidence=made.confidence[:0])
    assert merge_doubles(nobody, FIGURE) is nobody


def test_people_behind_each_other_stay_two():
    """Two who stand alike, one half a metre behind the other; and two who walk past each other."""
    figure = Proportions()
    still = [project(stand(8, 25.0, (0.0, depth), 0.3, figure)) for depth in (0.0, 0.5)]
    made, _ = detections_of(still, np.ones((2, 8), bool), 25.0)
    assert merge_doubles(made, FIGURE) is made
    passing = [project(pose) for pose in walkers(1.0, 60.0, lanes=((1, 0.0), (-1, 0.5)))]
    made, _ = detections_of(passing, np.ones((2, 60), bool), 60.0)
    assert merge_doubles(made, FIGURE) is made


def test_doubles_do_not_change_who_is_who(caplog):
    caplog.set_level("INFO", "gated_lift")
    made, person = crossing(seconds=2.0, hidden=0.3)
    doubled, of = twice(made, person)
    tracks = track(doubled)
    assert tracks.names == ("person 1", "person 2")
    assert f"{len(made.frame)} rows showed somebody a second time" in caplog.text
    assert sorted(map(sorted, identities(doubled, of, tracks))) == [["person 1"], ["person 2"]]
