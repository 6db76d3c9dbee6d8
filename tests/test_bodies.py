"""Who hides whom: analytic scenes, a brute-force walk along the ray, and two real dancers."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.cameras import Extrinsics, look_at, world_to_camera
from gated_lift.skeleton import BODY_25, COCO_17, H36M_17, Skeleton
from gated_lift.synthetic import bodies
from gated_lift.synthetic.bodies import BONE_RADII, body_occlusion

FIXTURE = Path(__file__).parents[2] / "shared" / "data" / "cmu_tiny_pairs.npz"

# Two joints and one bone: every scene can be drawn by hand.
STICK = Skeleton(name="stick", names=("hip", "head"), parents=(-1, 0), left=(), right=())
RADII = {"head": 0.1}
FAR = [[0.0, 0.0, 4.0], [0.0, 1.0, 4.0]]

occlude = jax.jit(body_occlusion, static_argnums=1)


@partial(jax.jit, static_argnums=1)
def stick_occlusion(poses, margin):
    return body_occlusion(poses, STICK, RADII, margin).coverage


def stick_coverage(occluders, margin=0.03):
    """Coverage (F,) of the joint (0, 0, 4) by each of the sticks ``occluders`` (F, 2, 3)."""
    occluders = jnp.array(occluders, jnp.float32)
    target = jnp.broadcast_to(jnp.array(FAR), occluders.shape)
    return np.asarray(stick_occlusion(jnp.stack([target, occluders]), margin)[0, :, 0])


def random_people(people, frames, skeleton=H36M_17, seed=0):
    rng = np.random.default_rng(seed)
    poses = rng.normal(size=(people, frames, skeleton.num_joints, 3)) * 0.3
    poses += rng.normal(size=(people, frames, 1, 3)) * [0.3, 0.1, 1.0] + [0, 0, 4]
    return jnp.array(poses, jnp.float32)


# The joint (0, 0, 4) is seen along the z axis.


@pytest.mark.parametrize(
    ("occluder", "expected"),
    [
        ([[-1, 0, 2], [1, 0, 2]], 1.0),  # a bar across the line of sight
        ([[-1, 0, 6], [1, 0, 6]], 0.0),  # the same bar behind the joint
        ([[-1, 0, -2], [1, 0, -2]], 0.0),  # and behind the camera
        ([[-1, 0.5, 2], [1, 0.5, 2]], 0.0),  # beside the line
        ([[0.05, 0, 2], [1, 0, 2]], 1.0),  # the round end of the capsule reaches 0.1 further than its axis
        ([[0.1, 0, 2], [1, 0, 2]], 0.5),  # on the surface
        ([[0.14, 0, 2], [1, 0, 2]], 0.0),
        ([[0, 0, 2], [0, 0, 3]], 1.0),  # pointing at the camera
        (
            [[0.05, 0, 3], [0.05, 0, 5]],
            1.0,
        ),  # parallel to the ray and beside the joint: the near half hides it
        ([[0, 0, 4.05], [0, 0, 5]], 0.0),  # touching the joint from behind
        (
            [[0, -0.05, 4.02], [0, 0.5, 4.02]],
            0.0,
        ),  # a joint inside the surface, before the axis, is on the skin
        ([[0.02, 0, 2], [0.02, 0, 2]], 1.0),  # a bone without length is a sphere
        ([[0.2, 0, 2], [0.2, 0, 2]], 0.0),
    ],
)
def test_scenes_that_can_be_drawn_by_hand(occluder, expected):
    np.testing.assert_allclose(stick_coverage([occluder])[0], expected, atol=1e-3)


def test_a_slanted_bone_hides_with_the_part_before_the_joint():
    """It crosses the extended line of sight behind the joint; at the joint's depth it is still 0.05 away from
    it.
    """
    through, after = [[0.15, 0, 3.0], [-0.15, 0, 6.0]], [[0.15, 0, 4.01], [-0.15, 0, 6.0]]
    np.testing.assert_array_equal(stick_coverage([through, after]), [1, 0])


def test_coverage_is_smooth_between_core_and_margin():
    distances = np.linspace(0.05, 0.15, 41)
    coverage = stick_coverage([[[d, -1, 2], [d, 1, 2]] for d in distances])
    t = np.clip((0.13 - distances) / 0.06, 0, 1)
    np.testing.assert_allclose(coverage, t * t * (3 - 2 * t), atol=1e-4)
    assert (np.diff(coverage) <= 0).all()
    # A margin above the radius would leave nothing fully covered.
    assert stick_coverage([[[0, -1, 2], [0, 1, 2]]], margin=0.5)[0] == 1.0


def test_one_person_is_never_hidden_and_nobody_hides_themselves():
    alone = occlude(random_people(1, 5), H36M_17)
    assert alone.hidden.shape == (1, 5, 17) and not alone.hidden.any() and not alone.coverage.any()
    apart = random_people(2, 5).at[1].add(jnp.array([50.0, 0, 0]))
    assert not occlude(apart, H36M_17).coverage.any()


def test_hidden_is_coverage_above_one_half():
    hidden, coverage = occlude(random_people(3, 50), H36M_17)
    np.testing.assert_array_equal(hidden, coverage > 0.5)
    assert hidden.dtype == bool and 0.1 < hidden.mean() < 0.9
    assert coverage.min() == 0 and coverage.max() == 1 and ((coverage > 0) & (coverage < 1)).mean() > 0.05


def test_people_are_interchangeable():
    poses = random_people(4, 6)
    order = jnp.array([2, 0, 3, 1])
    direct, permuted = occlude(poses, H36M_17), occlude(poses[order], H36M_17)
    np.testing.assert_array_equal(permuted.hidden, direct.hidden[order])
    np.testing.assert_allclose(permuted.coverage, direct.coverage[order], atol=1e-5)


def brute_force(poses, skeleton):
    """Distance of every joint's line of sight to the nearest axis before it, minus the radius, by dense
    sampling.
    """
    poses = np.asarray(poses, np.float64)
    people, frames, joints, _ = poses.shape
    along = np.linspace(0, 1, 2001)[:, None]
    clearance = np.full((people, frames, joints), np.inf)
    for person, frame, joint in np.ndindex(people, frames, joints):
        x = poses[person, frame, joint]
        depth = np.linalg.norm(x)
        for other in set(range(people)) - {person}:
            for child, parent in enumerate(skeleton.parents):
                if parent < 0:
                    continue
                a, b = poses[other, frame, parent], poses[other, frame, child]
                axis = a + along * (b - a)
                distance = np.linalg.norm(np.cross(axis, x / depth), axis=-1)
                reach = axis @ (x / depth)
                distance = distance[(reach > 0) & (reach < depth)]
                if distance.size:
                    gap = distance.min() - BONE_RADII[skeleton.names[child]]
                    clearance[person, frame, joint] = min(clearance[person, frame, joint], gap)
    return clearance


def test_agrees_with_dense_sampling_along_every_bone():
    poses = random_people(3, 3)
    clearance = brute_force(poses, H36M_17)
    hidden = np.asarray(occlude(poses, H36M_17).hidden)
    sure = np.abs(clearance) > 2e-3
    assert sure.mean() > 0.9 and 0.2 < hidden[sure].mean() < 0.9
    np.testing.assert_array_equal(hidden[sure], clearance[sure] < 0)


def test_long_clips_are_cut_without_a_trace(monkeypatch):
    poses = random_people(2, 23)
    whole = occlude(poses, H36M_17)
    monkeypatch.setattr(bodies, "CHUNK_FRAMES", 5)
    # A jit of its own: the other one remembers how it was traced.
    chunked = jax.jit(lambda x: body_occlusion(x, H36M_17))(poses)
    np.testing.assert_allclose(chunked.coverage, whole.coverage, atol=1e-5)


def test_fifteen_thousand_frames_stay_small():
    poses = jnp.zeros((2, 15_000, 17, 3), jnp.float32)
    memory = occlude.lower(poses, H36M_17).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 64 * 2**20


def test_nan_hides_nothing_and_spreads_nowhere():
    poses = random_people(3, 8)
    coverage = np.asarray(occlude(poses, H36M_17).coverage)
    broken = np.asarray(occlude(poses.at[0, 2].set(jnp.nan).at[1, 4, 10].set(jnp.inf), H36M_17).coverage)
    assert np.isfinite(broken).all() and not broken[0, 2].any() and broken[1, 4, 10] == 0
    frames = np.array([0, 1, 3, 5, 6, 7])
    np.testing.assert_array_equal(broken[:, frames], coverage[:, frames])
    # A person who is lost entirely hides what an absent one would.
    rest = np.asarray(occlude(poses[1:], H36M_17).coverage)
    np.testing.assert_allclose(broken[1:, 2], rest[:, 2], atol=1e-5)


def test_gradients_are_finite_at_degenerate_bones_and_joints():
    poses = random_people(2, 3)
    poses = poses.at[1, 0].set(0.0)  # everyone's joints on the camera, bones without length
    poses = poses.at[1, 1].set(poses[0, 1])  # two people in one place
    poses = poses.at[1, 2].set(poses[0, 2] * 0.5)  # every joint on another's line of sight
    poses = poses.at[0, 2, 5].set(jnp.nan)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(body_occlusion(x, H36M_17).coverage)))(poses)
    assert jnp.isfinite(gradient).all()


def test_gradient_matches_differences(float64):
    target, bar = jnp.array(FAR), jnp.array([[0.11, -1.0, 2.0], [0.08, 1.1, 2.2]])

    @jax.jit
    def coverage(bar):
        return body_occlusion(jnp.stack([target, bar])[:, None], STICK, RADII).coverage[0, 0, 0]

    gradient = jax.grad(coverage)(bar)
    assert jnp.abs(gradient).max() > 1
    for index in np.ndindex(2, 3):
        step = jnp.zeros((2, 3)).at[index].set(1e-6)
        difference = (coverage(bar + step) - coverage(bar - step)) / 2e-6
        np.testing.assert_allclose(gradient[index], difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("skeleton", [H36M_17, COCO_17, BODY_25], ids=lambda s: s.name)
def test_every_shipped_skeleton_has_radii(skeleton):
    occlusion = occlude(random_people(2, 2, skeleton), skeleton)
    assert occlusion.coverage.shape == (2, 2, skeleton.num_joints) and occlusion.hidden.any()


def test_batches_by_vmap():
    poses = jnp.stack([random_people(2, 4, seed=s) for s in (0, 1)])
    batched = jax.jit(jax.vmap(lambda x: body_occlusion(x, H36M_17)))(poses)
    np.testing.assert_allclose(batched.coverage[1], occlude(poses[1], H36M_17).coverage, atol=1e-5)


@pytest.mark.parametrize(
    ("radii", "margin", "message"),
    [
        ({}, 0.03, r"radii lacks \['head'\]"),
        ({"head": 0.0}, 0.03, r"radii \{'head': 0.0\} or margin 0.03 is not positive"),
        (RADII, 0.0, r"margin 0.0 is not positive"),
    ],
)
def test_bad_radii_are_refused(radii, margin, message):
    with pytest.raises(ValueError, match=message):
        body_occlusion(jnp.zeros((2, 1, 2, 3)), STICK, radii, margin)


def test_wrong_joint_count_is_refused():
    with pytest.raises(ValueError, match="poses has 16 joints, but h36m_17 has 17"):
        body_occlusion(jnp.zeros((2, 1, 16, 3)), H36M_17)


def test_a_camera_in_line_with_two_dancers_sees_one_hide_the_other():
    if not FIXTURE.exists():
        pytest.skip("the capture fixtures are not beside this checkout")
    data = np.load(FIXTURE)
    scale = np.float32(data["scale"]).item()
    first = int(data["start"][0])
    world = jnp.array(data["poses"][first : first + 40].astype(np.float32) * scale).swapaxes(0, 1)
    front, back = world[0, :, 0], world[1, :, 0]

    def seen_along(direction):
        """From 4 m before the first dancer's hip, at its height, every frame."""
        direction = direction.at[:, 2].set(0)
        direction = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
        position = front + 4 * direction
        rotation = look_at(position, front, jnp.zeros(position.shape[0]))
        return occlude(world_to_camera(world, Extrinsics(rotation, position)), H36M_17).hidden

    in_line = seen_along(front - back)
    assert in_line[1, :, 0].mean() > 0.9
    assert in_line[1].mean() > in_line[0].mean() + 0.2
    across = jnp.cross(front - back, jnp.array([0.0, 0.0, 1.0])[None])
    beside = seen_along(across)
    assert beside[1].mean() < 0.5 * in_line[1].mean()
