"""The demonstration: a counter and people hide people, and the weights that ship bring them back."""

import numpy as np
import pytest

from experiments import demo
from gated_lift import metrics
from gated_lift.networks import checkpoints, weights
from gated_lift.pipeline import recover, solved
from gated_lift.skeleton import H36M_17

# A fifth above what was measured (mm). Left and right exchanged gives twice to four times the poses' errors.
MOST = {
    weights.SMALL: (
        demo.Errors(hidden=82, long_gap=86, seen=37, n_mpjpe_absolute=52, root=372, root_hidden=574),
        demo.Errors(hidden=88, long_gap=97, seen=37, n_mpjpe_absolute=58, root=113, root_hidden=286),
    ),
    weights.PLAIN: (
        demo.Errors(hidden=125, long_gap=138, seen=40, n_mpjpe_absolute=63, root=251, root_hidden=399),
        demo.Errors(hidden=80, long_gap=92, seen=35, n_mpjpe_absolute=53, root=126, root_hidden=153),
    ),
}
LEGS = [H36M_17.names.index(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle")]


@pytest.fixture(scope="module")
def scene():
    return demo.film(demo.DemoConfig())


def test_legs_are_hidden_for_long_within_the_scene_and_people_for_a_moment(scene):
    hidden = np.asarray(scene.seen.occluded)
    lost = np.asarray(metrics.fully_hidden(scene.seen.occluded)).sum(axis=1) / scene.fps
    assert (lost > 0.15).all() and (lost < 1).all()
    for person in hidden:
        gap = np.flatnonzero(person[:, LEGS].all(axis=1)) / scene.fps
        assert 0.5 < gap.min() < gap.max() < 7.5 and 1.5 < len(gap) / scene.fps < 3


def test_the_counter_hides_what_the_line_of_sight_meets_it_before():
    rng = np.random.default_rng(0)
    counter = demo.Counter(radius=0.6, height=1.0)
    joints = rng.uniform([-1.5, -1.5, 0], [1.5, 1.5, 1.8], (1, 4, 200, 3)).astype(np.float32)
    cameras = np.array([[5, 0, 1.5], [0, -4, 1.3], [-3, 3, 2], [2, 2, 0.5]], np.float32)
    share = np.linspace(0, 1, 2000, dtype=np.float32)[:, None, None, None]
    line = cameras[:, None] + share * (joints[0] - cameras[:, None])
    meets = (np.hypot(line[..., 0], line[..., 1]) < counter.radius) & (line[..., 2] < counter.height)
    found = np.asarray(demo.covered(joints, cameras, counter))[0]
    sure = np.abs(found - 0.5) > 0.4
    assert sure.mean() > 0.9
    np.testing.assert_array_equal((found > 0.5)[sure], meets.any(axis=0)[sure])


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(weights.SMALL, marks=pytest.mark.default_flags),
        pytest.param(weights.PLAIN, marks=pytest.mark.thorough),
    ],
    ids=lambda path: path.name,
)
def test_weights_that_ship_recover_the_scene(scene, path):
    loaded = checkpoints.load_lifter(path)
    assert loaded.description["licences"], "weights carry the licence of what they were trained on"
    found = recover(loaded, scene.seen.keypoints, scene.seen.occluded, scene.camera, scene.fps)
    assert bool(solved(found.status).all())
    for person, most in enumerate(MOST[path]):
        errors = demo.measure(found, scene, person)
        assert all(error < bound for error, bound in zip(errors, most, strict=True)), (person, errors)


def test_what_ships_is_small():
    size = sum(path.stat().st_size for path in weights.TWO_STREAM.parent.rglob("*") if path.is_file())
    assert size <= 12e6
