"""Known motion in the carrier that exports take."""

import numpy as np

from gated_lift.exports.checks import check_people, ever_there
from gated_lift.people import people_of_clip
from gated_lift.synthetic import generated
from solvers import Status


def test_known_people_can_be_exported_under_their_names():
    clip = generated.crossing_pair(5, fps=25.0)
    people = check_people(people_of_clip(clip))
    assert people.names == ("crossing_0_0", "crossing_0_1") and people.source == clip.name
    np.testing.assert_array_equal(people.joints, clip.poses)
    np.testing.assert_array_equal(people.root, clip.poses[:, :, 0])
    np.testing.assert_array_equal(people.times, np.arange(5) / 25)
    assert ever_there(people, "BVH").tolist() == [0, 1] and set(people.status) == {int(Status.CONVERGED)}
    named = people_of_clip(clip._replace(subject="ada+bo", source="a.npz"))
    assert named.names == ("ada", "bo") and named.source == "a.npz" and named.axes == "world"
