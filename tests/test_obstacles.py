"""What hides people besides people: each kind against what it says."""

import numpy as np

from gated_lift.skeleton import H36M_17
from gated_lift.synthetic.obstacles import EDGE, draw_obstacle

FRAMES, FPS = 100, 50.0


def drawn(kind, longest=4.0, draws=60):
    words = np.random.PCG64(0)
    return [draw_obstacle(words, kind, FRAMES, FPS, longest, H36M_17) for _ in range(draws)]


def test_an_edge_hides_by_where_joints_are_alone():
    found = drawn("edge")
    assert not any(one.behind.any() for one in found)
    assert min(one.edge for one in found) >= EDGE[0] and max(one.edge for one in found) <= EDGE[1]


def test_limbs_and_sides_stay_the_same_while_they_are_hidden():
    left, right = set(H36M_17.left), set(H36M_17.right)
    for kind in ("limb", "side"):
        lasting, shapes = 0, set()
        for one in drawn(kind):
            assert np.isinf(one.edge)
            for person in one.behind:
                frames = np.flatnonzero(person.any(axis=-1))
                lasting += len(frames) == FRAMES
                if len(frames):
                    assert np.ptp(frames) + 1 == len(frames) and (person[frames] == person[frames[0]]).all()
                    shapes.add(frozenset(np.flatnonzero(person[frames[0]]).tolist()))
        assert 30 < lasting < 90
        if kind == "side":
            assert shapes == {frozenset(left), frozenset(right)}
        else:
            # Two joints or three of one arm or leg.
            assert all(2 <= len(shape) <= 3 and (shape <= left or shape <= right) for shape in shapes)
            assert len(shapes) == 8


def test_one_person_is_hidden_whole_for_a_while():
    seen = set()
    for longest, most in ((4.0, 60), (0.5, 25)):
        for one in drawn("whole", longest):
            whole = one.behind.all(axis=-1)
            np.testing.assert_array_equal(one.behind.any(axis=-1), whole)
            (person,) = np.flatnonzero(whole.any(axis=-1))
            seen.add(int(person))
            frames = np.flatnonzero(whole[person])
            assert 0.4 * most - 1 <= len(frames) <= most and np.ptp(frames) + 1 == len(frames)
            assert frames[0] > 0 and frames[-1] < FRAMES - 1
    assert seen == {0, 1}
