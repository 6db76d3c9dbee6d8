"""The study of sizes: who is filmed, and what each way of knowing a size makes of people lifted wrong."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.trajectory.sizes import (
    WAYS,
    Lifted,
    SizesConfig,
    best_scales,
    constants,
    film,
    judge,
    read_clips,
)
from gated_lift.cameras import camera_to_world
from gated_lift.clips import MotionClip
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated

FPS = 25.0
WRONG = np.array([1.06, 0.96, 1.0])  # by which people are lifted too small


def clips():
    stand, walk = np.asarray(generated.stand(60)), np.asarray(generated.walk(60, fps=FPS))
    return [
        MotionClip(poses[None].astype(np.float32), FPS, H36M_17, name, name, "", 0.0, "free")
        for name, poses in (("Ada", stand), ("Bo", walk), ("Cy", stand))
    ]


@pytest.fixture(scope="module")
def scenes():
    """Two scenes as if lifted without any error but that of the size."""
    config = SizesConfig((), frames=50, scenes=2, ratios=(0.0,))
    found = film(config, clips())
    scaled = 1 / WRONG[:, None, None, None]
    return [
        Lifted(scene, scene.joints * scaled, scene.joints[:, :, 0] * scaled[..., 0], scene.hidden)
        for scene in found
    ]


def test_scenes_hold_different_people_on_the_floor(scenes):
    for lifted in scenes:
        assert sorted(lifted.scene.subjects) == ["Ada", "Bo", "Cy"]
        world = np.asarray(camera_to_world(jnp.asarray(lifted.scene.joints), lifted.scene.extrinsics))
        assert np.all(np.abs(world[:, :, [3, 6], 2].min(axis=(1, 2))) < 0.12)
        np.testing.assert_allclose(best_scales(lifted), WRONG, rtol=1e-5)


def test_more_knowledge_makes_distances_better(scenes):
    errors = np.zeros((2, 2))
    rows = {way: judge(way, 0.0, scenes, errors, FPS) for way in WAYS}
    lifted, best = rows["as lifted"], rows["best single scale a clip"]
    assert lifted.root == pytest.approx(1000 * 5 * np.abs(1 / WRONG - 1).mean(), rel=0.02)
    assert best.root < 1 and best.between < 1
    # Sizes relative to each other follow from the floor, and all of them from heights.
    assert rows["floor, tilt told"].between < 0.4 * lifted.between
    assert rows["floor, camera's pose known"].size < 0.4 * lifted.size
    for way in ("floor, tilt and camera's height told", "floor, tilt and one person's height told"):
        assert rows[way].root < 0.6 * lifted.root
    assert rows["everybody's height told"].root < 1
    assert constants(scenes, 0.0)[-1] == "0.0"


def test_who_can_be_filmed(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.trajectory.sizes.motion.read_clips", lambda paths: clips())
    config = SizesConfig((tmp_path / "one.npz",), frames=50)
    assert [clip.subject for clip in read_clips(dataclasses.replace(config, subjects=("Bo",)))] == ["Bo"]
    with pytest.raises(ValueError, match=r"one.npz holds nobody of subjects held out for 50 frames"):
        read_clips(config)
    with pytest.raises(ValueError, match="scenes is 0: give a whole number, 1 or more"):
        read_clips(dataclasses.replace(config, scenes=0))
