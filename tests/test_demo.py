import numpy as np
import pytest

from experiments import demo
from gated_lift import metrics
from gated_lift.networks import checkpoints, weights
from gated_lift.pipeline import recover, solved


@pytest.fixture(scope="module")
def scene():
    return demo.film(demo.DemoConfig())


def test_both_people_hide_each_other(scene):
    hidden = np.asarray(metrics.fully_hidden(scene.seen.occluded)).sum(axis=1) / scene.fps
    assert (hidden > 0.2).all(), "each person is lost for a while"
    assert (hidden < 2).all()


@pytest.mark.parametrize("path", [weights.TWO_STREAM, weights.PLAIN], ids=lambda path: path.name)
def test_weights_that_ship_recover_the_scene(scene, path):
    loaded = checkpoints.load_lifter(path)
    assert loaded.description["licences"], "weights carry the licence of what they were trained on"
    found = recover(loaded.lifter, loaded.variables, scene.seen.keypoints, scene.seen.occluded, scene.camera)
    assert bool(solved(found.status).all())
    for person in range(2):
        errors = demo.measure(found, scene.seen, person)
        # Bounds against a broken network or solve, well above what docs/results.md reports.
        assert errors.pa_mpjpe < 90
        assert errors.root < 400
        assert np.isfinite(errors.root_hidden)


def test_what_ships_is_small():
    size = sum(path.stat().st_size for path in weights.TWO_STREAM.parent.rglob("*") if path.is_file())
    assert size <= 10e6
