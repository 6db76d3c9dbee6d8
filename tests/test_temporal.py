"""The network against NumPy in float64, its receptive field by perturbation, and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import lift, random_variables
from overfit import learn
from window_clips import mirror, mirror_mask

from experiments.training.configs import OURS, TRAJECTORY
from gated_lift import occlusion
from gated_lift.networks.protocol import Hints, check_keypoints, check_values, lift_clip, parameter_count
from gated_lift.networks.temporal import GATINGS, TemporalLifter, frame_person, without_gates
from gated_lift.occlusion import frame_times, gap_age
from gated_lift.skeleton import H36M_17

JOINTS = H36M_17.num_joints
fill = jax.jit(occlusion.fill, static_argnums=(2, 3))
SMALL = TemporalLifter(channels=8, filter_widths=(3, 3))

apply = jax.jit(
    lambda lifter, variables, keypoints, occluded, **options: lifter.apply(
        variables, keypoints, occluded, **options
    ),
    static_argnums=0,
    static_argnames=("output_stride",),
)
lift_jit = jax.jit(lift_clip, static_argnames=("lifter", "skeleton", "flip"))


def clip(frames, seed=0, batch=(2,), joints=JOINTS, hidden=0.4):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-1, 1, (*batch, frames, joints, 2)).astype(np.float32)
    occluded = rng.random((*batch, frames, joints)) < hidden
    occluded[..., 0, 0] = False
    return jnp.asarray(keypoints), jnp.asarray(occluded)


def abstract(lifter):
    keypoints, occluded = clip(lifter.receptive_field, batch=(1,), joints=lifter.num_joints)
    return jax.eval_shape(lambda: lifter.init(jax.random.key(0), keypoints, occluded))


def weights(lifter, seed=1):
    return random_variables(abstract(lifter), seed)


@functools.partial(jax.jit, static_argnames="causal")
def age_of(occluded, causal=False):
    return gap_age(occluded, frame_times(occluded.shape[-2], 50), causal)


# -------------------------------------------------------------------------------------------------- the
# network


@pytest.mark.parametrize(
    "settings",
    [
        {"gate_residual": True, "num_joints": 5},
        {"mask_channels": "joint", "fill": "zero"},
        {"framing": "person", "mask_channels": "age", "fade_seconds": (0.06, 0.18)},
        {"gating": "none", "fade_seconds": (0.06,)},
        {"framing": "person", "fill": "zero", "gating": "mask_input"},
    ],
    ids=["gate_residual", "joint_bits", "person", "plain", "person_zero"],
)
def test_settings_match_numpy(settings):
    lifter = TemporalLifter(channels=8, filter_widths=(3, 3), **settings)
    variables = weights(lifter)
    keypoints, occluded = clip(12, joints=lifter.num_joints)
    filled = fill(keypoints, occluded, lifter.fill)
    expected = lift(lifter, variables, filled, occluded)
    np.testing.assert_allclose(apply(lifter, variables, keypoints, occluded), expected, atol=1e-5)
    strided = apply(
        lifter,
        variables,
        filled[:, :9],
        occluded[:, :9],
        output_stride=9,
        age=age_of(occluded)[:, :9],
    )
    np.testing.assert_allclose(strided, expected[:, :1], atol=1e-5)


@pytest.mark.parametrize(
    ("gating", "widths", "causal"),
    [
        pytest.param("two_stream", (3, 5, 3), False, marks=pytest.mark.default_flags),
        *(("single_stream", (3, 5, 3), False), ("none", (3, 5, 3), False)),
        *((gating, (5, 1, 3), True) for gating in GATINGS),
    ],
)
def test_dense_and_strided_forms_match_numpy_on_every_frame(gating, widths, causal):
    lifter = TemporalLifter(gating, 8, widths, causal=causal)
    variables = weights(lifter)
    field, outputs = lifter.receptive_field, 6
    keypoints, occluded = clip(field + outputs - 1, batch=(1,))
    keypoints = fill(keypoints, occluded, "interpolate")
    expected = lift(lifter, variables, keypoints, occluded)
    assert np.abs(expected).mean() > 0.1 and np.abs(np.diff(expected, axis=1)).max() > 0.1
    age = age_of(occluded, causal)
    dense = apply(lifter, variables, keypoints, occluded, age=age)
    assert dense.shape == (1, outputs, JOINTS, 3) and dense.dtype == jnp.float32
    np.testing.assert_allclose(dense, expected, atol=1e-5)
    # Every output frame has a window of its own, which the strided form lifts.
    index = np.arange(outputs)[:, None] + np.arange(field)
    windows = keypoints[0, index], occluded[0, index]
    strided = apply(lifter, variables, *windows, output_stride=field, age=age[0, index])
    assert strided.shape == (outputs, 1, JOINTS, 3)
    np.testing.assert_allclose(strided[:, 0], dense[0], atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("stride", "outputs"), [(1, 21), (3, 7), (15, 2), (45, 1)])
def test_strided_outputs_are_every_so_many_dense_ones(stride, outputs, causal):
    lifter = TemporalLifter("two_stream", 8, (3, 5, 3), causal=causal, gate_residual=True, framing="person")
    variables = weights(lifter)
    keypoints, occluded = clip(lifter.receptive_field + 20)
    keypoints = fill(keypoints, occluded, "interpolate")
    dense = lift(lifter, variables, keypoints, occluded)
    strided = apply(
        lifter,
        variables,
        keypoints,
        occluded,
        output_stride=stride,
        age=age_of(occluded),
    )
    assert strided.shape[1] == outputs
    np.testing.assert_allclose(strided, dense[:, ::stride], atol=1e-5)


@pytest.mark.parametrize("stride", [0, 2, 5, 9, 90])
def test_other_output_strides_are_refused(stride):
    lifter = TemporalLifter(channels=8, filter_widths=(3, 5, 3))
    with pytest.raises(ValueError, match=rf"output_stride is {stride}: filter_widths .* allow 1, 3, 15, 45"):
        lifter.init(jax.random.key(0), *clip(90), output_stride=stride)


def test_framed_people_have_no_place_or_size():
    """The outline is the same wherever a person stands and however large."""
    keypoints = clip(5)[0]
    known = jnp.arange(JOINTS) % 5 > 0
    known = jnp.broadcast_to(known, keypoints.shape[:-1])
    framed = frame_person(keypoints, known)
    moved = frame_person(0.4 * keypoints + jnp.array([0.3, -0.2])[None, None, None], known)
    np.testing.assert_allclose(moved.outline, framed.outline, atol=1e-5)
    assert np.abs(moved.place - framed.place).min() > 1e-3
    nobody = frame_person(keypoints, jnp.zeros_like(known))
    assert not nobody.outline.any() and np.isfinite(nobody.place).all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("widths", [(5,), (3, 5)])
def test_receptive_field_is_exact(widths, causal):
    lifter = TemporalLifter("two_stream", 8, widths, causal=causal)
    variables = weights(lifter)
    field, (before, after) = lifter.receptive_field, lifter.padding
    assert field == np.prod(widths) and before + after == field - 1
    assert after == (0 if causal else before)
    frames, frame = field + 2 * field, before + field
    keypoints, occluded = clip(frames, batch=(1,), hidden=0.0)
    base = apply(lifter, variables, keypoints, occluded)[0, frame - before]
    # One changed frame a batch entry; each may change this output only from inside its receptive field.
    changed = jnp.tile(keypoints, (frames, 1, 1, 1)) + jnp.eye(frames)[:, :, None, None]
    outputs = apply(lifter, variables, changed, jnp.tile(occluded, (frames, 1, 1)))[:, frame - before]
    differs = np.asarray(jnp.abs(outputs - base[None]).max((1, 2)) > 1e-6)
    expected = (np.arange(frames) >= frame - before) & (np.arange(frames) <= frame + after)
    np.testing.assert_array_equal(differs, expected)


def test_causal_networks_read_no_later_frame():
    lifter = TemporalLifter("two_stream", 8, (3, 3), causal=True)
    variables = weights(lifter)
    keypoints, occluded = clip(20)
    poses = lift_jit(lifter, variables, keypoints, occluded, H36M_17)
    later = keypoints.at[:, 11:].add(1.0)
    changed = lift_jit(lifter, variables, later, occluded.at[:, 11:].set(~occluded[:, 11:]), H36M_17)
    np.testing.assert_array_equal(changed[:, :11], poses[:, :11])
    assert (np.asarray(changed[:, 11]) != np.asarray(poses[:, 11])).any()


def test_parameter_counts_of_the_paper():
    plain = TemporalLifter("none", 1024, (3, 3, 3, 3, 3))
    # 243 frames, as VideoPose3D has: the sum written out beside its published total.
    layers = 3 * 34 * 1024 + 4 * (3 + 1) * 1024**2 + 9 * 2 * 1024 + 1024 * 51 + 51
    assert plain.receptive_field == 243
    assert parameter_count(abstract(plain)) == layers == 16_952_371
    gated = TemporalLifter("two_stream", 1024, (3, 3, 3, 3, 3))
    assert parameter_count(abstract(gated)) == 2 * (16_952_371 - 1024 * 51 - 51) + 1024 * 51 + 51


def test_an_untrained_network_answers_with_the_root():
    keypoints, occluded = clip(12)
    variables = jax.jit(SMALL.init)(jax.random.key(0), keypoints, occluded)
    assert not np.asarray(apply(SMALL, variables, keypoints, occluded)).any()


# ---------------------------------------------------------------------------------------------------
# occlusions


@pytest.mark.parametrize(
    ("gating", "how"),
    [
        pytest.param("two_stream", "interpolate", marks=pytest.mark.default_flags),
        ("single_stream", "zero"),
        ("none", "interpolate"),
    ],
)
def test_hidden_values_never_matter(gating, how):
    lifter = TemporalLifter(gating, 8, (3, 3), fill=how)
    variables = weights(lifter)
    keypoints, occluded = clip(14)

    @jax.jit
    def lift_and_differentiate(keypoints):
        def loss(keypoints):
            poses = lifter.apply(variables, keypoints, occluded)
            return jnp.sum(poses**2), poses

        gradient, poses = jax.grad(loss, has_aux=True)(keypoints)
        return poses, gradient

    poses, gradient = lift_and_differentiate(keypoints)
    assert not np.asarray(gradient)[np.asarray(occluded)].any() and np.asarray(gradient).any()
    for poison in (np.nan, np.inf, 1e20):
        dirty, dirty_gradient = lift_and_differentiate(jnp.where(occluded[..., None], poison, keypoints))
        np.testing.assert_array_equal(dirty, poses)
        np.testing.assert_array_equal(dirty_gradient, gradient)


@pytest.mark.parametrize(("gating", "mask_only"), [("two_stream", True), ("single_stream", False)])
def test_two_stream_gates_depend_on_the_mask_only(gating, mask_only):
    lifter = TemporalLifter(gating, 8, (3, 3))
    variables = weights(lifter)

    @jax.jit
    def gates(keypoints, occluded):
        def is_gate(module, _):
            return module.name == "gate"

        _, seen = lifter.apply(variables, keypoints, occluded, capture_intermediates=is_gate)
        return jax.tree.leaves(seen["intermediates"])

    keypoints, occluded = clip(12)
    other, mask = clip(12, seed=5)
    first, second, third = gates(keypoints, occluded), gates(other, occluded), gates(keypoints, mask)
    assert len(first) == 3
    for one, two, three in zip(first, second, third, strict=True):
        assert np.array_equal(one, two) == mask_only
        assert not np.array_equal(one, three)


def test_a_plain_network_sees_the_mask_only_through_the_gaps():
    keypoints, occluded = clip(12)
    for gating in GATINGS:
        lifter = TemporalLifter(gating, 8, (3, 3))
        variables = weights(lifter)
        poses = [
            apply(lifter, variables, keypoints, mask, age=age_of(mask)) for mask in (occluded, ~occluded)
        ]
        assert np.array_equal(*poses) == (gating == "none")


# -----------------------------------------------------------------------------------------------------
# training


GATED = TemporalLifter(
    channels=8,
    filter_widths=(3, 3),
    framing="person",
    mask_channels="age",
    fade_seconds=(0.06, 0.18),
    gate_residual=True,
    tilt=True,
    confidence=True,
)


@jax.jit
def lift_three_ways(variables, keypoints, occluded, doubt):
    """What `lift_frames` answers, what the network of two streams does, and the plain one in its place."""
    before, after = GATED.padding
    padded = [
        jnp.pad(values, [(0, 0), (before, after)] + [(0, 0)] * (values.ndim - 2), mode="edge")
        for values in (keypoints, occluded, doubt)
    ]
    hints = Hints(jnp.broadcast_to(jnp.array([0.0, -0.8, 0.6]), (*padded[0].shape[:2], 3)), padded[2])
    inputs, age = padded[:2], age_of(padded[1])
    inside = slice(before, before + keypoints.shape[1])
    clips = keypoints, occluded, age[:, inside], None, jax.tree.map(lambda hint: hint[:, inside], hints)
    return (
        GATED.lift_frames(variables, *clips),
        GATED.apply(variables, *inputs, age=age, hints=hints),
        GATED.clone(gating="none").apply(without_gates(GATED, variables), *inputs, age=age, hints=hints),
    )


def test_where_nothing_is_hidden_the_gates_are_numbers_of_the_weights():
    """One hidden joint, on the first frame, which padding repeats, or any doubt is enough to ask the gates;
    a person who is never seen is not.
    """
    variables = weights(GATED)
    keypoints, some = clip(20)
    nothing, none = jnp.zeros((2, 20, JOINTS), bool), jnp.zeros((2, 20, JOINTS))
    found, two_streams, plain = lift_three_ways(variables, keypoints, nothing, none)
    np.testing.assert_allclose(found, two_streams, atol=1e-5)
    np.testing.assert_allclose(found, plain, atol=1e-6)
    for occluded, doubt in (
        (nothing.at[0, 0, 3].set(True), none),
        (some, none),
        (nothing, none.at[1, 7, 2].set(0.5)),
    ):
        found, two_streams, plain = lift_three_ways(variables, keypoints, occluded, doubt)
        np.testing.assert_allclose(found, two_streams, atol=1e-6)
        assert np.abs(found - plain).max() > 1e-3
    found, two_streams, plain = lift_three_ways(variables, keypoints, nothing.at[1].set(True), none)
    np.testing.assert_allclose(found, plain, atol=1e-6)
    np.testing.assert_allclose(found[0], two_streams[0], atol=1e-5)


def test_training_needs_an_rng_and_updates_batch_statistics():
    lifter = TemporalLifter("two_stream", 32, (3, 3), dropout=0.5)
    variables = weights(lifter)
    keypoints, occluded = clip(12)

    @jax.jit
    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return lifter.apply(variables, keypoints, occluded, train=True, rngs=rngs, mutable=["batch_stats"])

    (first, updated), (second, _) = run(0), run(1)
    np.testing.assert_array_equal(first, run(0)[0])
    assert np.abs(np.asarray(first - second)).max() > 1e-3
    old, new = jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(updated["batch_stats"])
    assert len(new) == 2 * 6 and all(not np.array_equal(a, b) for a, b in zip(old, new, strict=True))
    with pytest.raises(Exception, match="dropout"):
        lifter.apply(variables, keypoints, occluded, train=True, mutable=["batch_stats"])


# -------------------------------------------------------------------------------------------------- whole
# clips


@pytest.mark.parametrize(("frames", "causal"), [(1, False), (4, True), (20, False)])
def test_clips_of_any_length_are_lifted_frame_by_frame(frames, causal):
    lifter = TemporalLifter("two_stream", 8, (3, 3), causal=causal)
    variables = weights(lifter)
    keypoints, occluded = clip(frames, batch=(1,), hidden=0.3)
    poses = lift_jit(lifter, variables, keypoints, occluded, H36M_17, flip=False)
    assert poses.shape == (1, frames, JOINTS, 3)
    before, after = lifter.padding
    padding = ((0, 0), (before, after), (0, 0))
    mask = np.pad(occluded, padding, mode="edge")
    window = np.pad(keypoints, (*padding, (0, 0)), mode="edge")
    filled = fill(jnp.asarray(window), jnp.asarray(mask), "interpolate", causal)
    np.testing.assert_allclose(poses, lift(lifter, variables, filled, mask), atol=1e-5)


def test_gaps_are_filled_over_the_whole_clip():
    keypoints, occluded = clip(30)
    occluded = occluded.at[:, 3:27].set(True)
    variables = weights(SMALL)
    poses = lift_jit(SMALL, variables, keypoints, occluded, H36M_17)
    later = lift_jit(SMALL, variables, keypoints.at[:, 27:].add(0.5), occluded, H36M_17)
    # Frame 15 is more than a receptive field away from the change, but its gap ends there.
    assert np.abs(np.asarray(later - poses))[:, 15].max() > 1e-3


def test_leading_axes_are_people():
    keypoints, occluded = clip(30)
    variables = weights(SMALL)
    poses = lift_jit(SMALL, variables, keypoints, occluded, H36M_17)
    nested = lift_jit(SMALL, variables, keypoints[None], occluded[None], H36M_17)
    assert nested.shape == (1, 2, 30, JOINTS, 3)
    np.testing.assert_allclose(nested[0], poses, atol=1e-6)
    swapped = lift_jit(SMALL, variables, keypoints[::-1], occluded[::-1], H36M_17)
    np.testing.assert_allclose(swapped, poses[::-1], atol=1e-6)
    alone = jax.eval_shape(lambda: lift_clip(SMALL, variables, keypoints[0], occluded[0], H36M_17))
    assert alone.shape == (30, JOINTS, 3)


def test_flip_averaging_is_equivariant_under_mirroring():
    keypoints, occluded = clip(30)
    variables = weights(SMALL)

    def both(flip):
        poses = lift_jit(SMALL, variables, keypoints, occluded, H36M_17, flip=flip)
        mirrored = mirror(keypoints, H36M_17), mirror_mask(occluded, H36M_17)
        return np.asarray(poses), np.asarray(
            mirror(lift_jit(SMALL, variables, *mirrored, H36M_17, flip=flip), H36M_17)
        )

    plain, plain_mirrored = both(False)
    assert np.abs(plain - plain_mirrored).max() > 0.1, "the network alone is not symmetric"
    averaged, averaged_mirrored = both(True)
    np.testing.assert_allclose(averaged, averaged_mirrored, atol=1e-6)
    np.testing.assert_allclose(averaged, (plain + plain_mirrored) / 2, atol=1e-6)


def test_mirror_is_its_own_inverse_and_swaps_sides():
    keypoints, occluded = clip(3)
    flipped, hidden = mirror(keypoints, H36M_17), mirror_mask(occluded, H36M_17)
    left, right = H36M_17.names.index("left_wrist"), H36M_17.names.index("right_wrist")
    np.testing.assert_array_equal(flipped[..., left, 0], -keypoints[..., right, 0])
    np.testing.assert_array_equal(flipped[..., left, 1], keypoints[..., right, 1])
    np.testing.assert_array_equal(hidden[..., right], occluded[..., left])
    np.testing.assert_array_equal(flipped[..., 0, 0], -keypoints[..., 0, 0])
    np.testing.assert_array_equal(mirror(flipped, H36M_17), keypoints)
    np.testing.assert_array_equal(mirror_mask(hidden, H36M_17), occluded)


def test_a_visible_nan_spoils_its_own_person_only():
    keypoints, occluded = clip(30, batch=(2,), hidden=0.0)
    variables = weights(SMALL)
    poses = lift_jit(SMALL, variables, keypoints, occluded, H36M_17)
    broken = np.asarray(lift_jit(SMALL, variables, keypoints.at[0, 15, 3].set(jnp.nan), occluded, H36M_17))
    np.testing.assert_array_equal(broken[1], poses[1])
    seen = np.abs(np.arange(30) - 15) <= SMALL.receptive_field // 2
    np.testing.assert_array_equal(np.isnan(broken[0]).any((1, 2)), seen)
    np.testing.assert_array_equal(broken[0, ~seen], poses[0, ~seen])


# ------------------------------------------------------------------------------------------------- roots


ROOT = TemporalLifter("none", 8, (3, 3), target="root")


def test_a_network_for_the_root_answers_with_one_point():
    keypoints, occluded = clip(12)
    variables = weights(ROOT)
    widths = jax.tree.map(jnp.shape, variables["params"]["head"])
    assert widths == {"kernel": (8, 3), "bias": (3,)}
    root = lift_jit(ROOT, variables, keypoints, occluded, H36M_17, flip=False)
    assert root.shape == (2, 12, 1, 3)
    # The same as VideoPose3D's for poses, but for the head.
    assert parameter_count(abstract(TemporalLifter("none", target="root"))) == 16_952_371 - 16 * 3 * 1025
    # The mean over both images: the mirrored person stands on the other side of the optical axis.
    both = lift_jit(ROOT, variables, keypoints, occluded, H36M_17)
    mirrored = mirror(keypoints, H36M_17), mirror_mask(occluded, H36M_17)
    other = lift_jit(ROOT, variables, *mirrored, H36M_17, flip=False)
    np.testing.assert_allclose(
        both, (root + other * jnp.array([-1.0, 1, 1])[None, None, None]) / 2, atol=1e-5
    )


def test_the_root_is_learnt_from_eight_clips(monkeypatch):
    network = OURS.replace(
        gating="none",
        channels=16,
        filter_widths=(3, 3),
        framing="screen",
        fade_seconds=(),
        target="root",
    )
    config = dataclasses.replace(TRAJECTORY, network=network)
    first, last = learn(config, 100, 2e-2, monkeypatch)
    assert first > 4.0 and last < 0.1 * first


# ---------------------------------------------------------------------------------------------------- bad
# input


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"keypoints": jnp.zeros((6, 2))}, r"keypoints has shape \(6, 2\): give \(..., frames, joints, 2\)"),
        ({"keypoints": jnp.zeros((6, 17, 3))}, r"keypoints has shape \(6, 17, 3\): .* confidences go apart"),
        (
            {"keypoints": jnp.zeros((6, 25, 2))},
            r"keypoints has 25 joints, the lifter was built for 17: convert",
        ),
        (
            {"keypoints": jnp.zeros((6, 17, 2), jnp.int32)},
            "keypoints has dtype int32: give floating-point numbers",
        ),
        ({"occluded": jnp.zeros((6, 17))}, "occluded has dtype float32: give booleans, True where hidden"),
        ({"occluded": jnp.zeros((6, 17), jnp.int32)}, "occluded has dtype int32: give booleans"),
        (
            {"occluded": jnp.zeros((5, 17), bool)},
            r"occluded has shape \(5, 17\), keypoints \(6, 17, 2\): give one",
        ),
        (
            {"occluded": jnp.zeros((1, 6, 17), bool)},
            r"occluded has shape \(1, 6, 17\), keypoints \(6, 17, 2\)",
        ),
        (
            {"keypoints": jnp.zeros((0, 17, 2)), "occluded": jnp.zeros((0, 17), bool)},
            r"keypoints has shape \(0, 17, 2\): it is empty",
        ),
        (
            {"keypoints": jnp.zeros((0, 6, 17, 2)), "occluded": jnp.zeros((0, 6, 17), bool)},
            "it is empty; give at least one frame of one person",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, match):
    arrays = {"keypoints": jnp.zeros((6, 17, 2)), "occluded": jnp.zeros((6, 17), bool)} | change
    with pytest.raises(ValueError, match=match):
        check_keypoints(**arrays, num_joints=17)
    # What users call refuses them likewise; the wrapper checks annotations, in tests only.
    with pytest.raises(ValueError, match=match):
        lift_clip.__wrapped__(SMALL, {}, **arrays, skeleton=H36M_17)
    with pytest.raises(ValueError, match=match):
        SMALL._check(arrays["keypoints"], arrays["occluded"], output_stride=1)


def test_networks_take_windows_that_fill_their_receptive_field():
    keypoints, occluded = clip(8)
    with pytest.raises(
        ValueError, match=r"keypoints has 8 frames, the network needs at least 9 .* use lift_clip"
    ):
        SMALL.init(jax.random.key(0), keypoints, occluded)
    keypoints, occluded = clip(10)
    with pytest.raises(
        ValueError, match=r"keypoints has shape \(10, 17, 2\): the network takes \(batch, frames"
    ):
        SMALL._check(keypoints[0], occluded[0], output_stride=1)


@pytest.mark.parametrize("widths", [(), (3, 4), (2,), (3, 0), (-3,)])
def test_even_widths_are_refused(widths):
    with pytest.raises(ValueError, match=r"filter_widths is .*: give one or more odd widths"):
        TemporalLifter(filter_widths=widths).init(jax.random.key(0), *clip(30))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("gating", "both", "gating is 'both': choose one of none, mask_input, single_stream, two_stream"),
        ("fill", "spline", "fill is 'spline': choose one of interpolate, cubic, zero"),
        ("framing", "face", "framing is 'face': choose one of screen, person"),
        ("mask_channels", "none", "mask_channels is 'none': choose one of coordinate, joint, age"),
        ("target", "both", "target is 'both': choose one of pose, root"),
    ],
)
def test_unknown_settings_are_refused(name, value, match):
    lifter = TemporalLifter(channels=8, filter_widths=(3, 3))
    object.__setattr__(lifter, name, value)  # past the annotations, which are checked in tests only
    with pytest.raises(ValueError, match=match):
        lifter._check(*clip(9), output_stride=1)


@pytest.mark.parametrize("times", [(0.0,), (4.0, -1.0), (np.nan,)])
def test_fading_takes_time(times):
    with pytest.raises(ValueError, match=r"fade_seconds is .*: give positive seconds"):
        TemporalLifter(channels=8, filter_widths=(3, 3), fade_seconds=times).init(jax.random.key(0), *clip(9))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_visible_values_that_are_not_finite_are_named(value):
    keypoints, occluded = clip(6, batch=(2, 3))
    occluded = occluded.at[1, 2, 4, 7].set(False)
    bad = keypoints.at[1, 2, 4, 7, 1].set(value)
    with pytest.raises(
        ValueError, match=r"keypoints of person 1, 2 are not finite at frame 4, joint 7 \(1 visible"
    ):
        check_values(bad, occluded)
    check_values(bad, occluded.at[1, 2, 4, 7].set(True))
    check_values(np.asarray(keypoints), np.asarray(occluded))
    with pytest.raises(ValueError, match="keypoints of the person are not finite at frame 4"):
        check_values(bad[1, 2], occluded[1, 2])


def test_people_who_are_never_visible_are_named():
    keypoints, occluded = clip(6, batch=(3,))
    with pytest.raises(
        ValueError, match="occluded hides every joint of person 1 on all 6 frames: leave this person"
    ):
        check_values(keypoints, occluded.at[1].set(True))
    check_values(keypoints, occluded.at[1].set(True).at[1, 3, 2].set(False))
