"""Skeletons are trees that mirror onto themselves, and conversion goes by name."""

import json
from pathlib import Path
from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest

from gated_lift.skeleton import (
    BETTER_MISSING,
    BODY_25,
    BODY_25B,
    COCO_17,
    COCO_18,
    COCO_133,
    EXACT_MIDPOINTS,
    H36M_17,
    HALPE_26,
    MEDIAPIPE_33,
    MIDPOINTS,
    VITPOSE_25,
    Missing,
    Skeleton,
    convert,
)
from gated_lift.skeleton import SKELETONS as ALL

SKELETONS = pytest.mark.parametrize("skeleton", ALL.values(), ids=lambda s: s.name)
FIXTURE = Path(__file__).parents[2] / "shared" / "data" / "cmu_tiny_pairs.json"


def pose(skeleton: Skeleton, dims: int = 3, frames: int = 4) -> jnp.ndarray:
    return jnp.array(
        np.random.default_rng(0).normal(size=(2, frames, skeleton.num_joints, dims)), jnp.float32
    )


@SKELETONS
def test_tree_is_rooted_first_and_ordered(skeleton):
    assert len(skeleton.names) == len(skeleton.parents) == len(set(skeleton.names)) == skeleton.num_joints
    assert skeleton.parents[0] == -1
    assert all(0 <= parent < child for child, parent in enumerate(skeleton.parents) if child > 0)
    assert len(skeleton.bones) == skeleton.num_joints - 1
    assert all(skeleton.parents[child] == parent for parent, child in skeleton.bones)


@SKELETONS
def test_mirror_swaps_sides_by_name_and_keeps_the_tree(skeleton):
    mirror = skeleton.mirror
    assert [mirror[mirror[joint]] for joint in range(skeleton.num_joints)] == list(range(skeleton.num_joints))
    other = {"left": "right", "right": "left"}
    for joint, name in enumerate(skeleton.names):
        side, _, rest = name.partition("_")
        expected = f"{other[side]}_{rest}" if side in other else name
        assert skeleton.names[mirror[joint]] == expected
        if joint > 0:
            assert mirror[skeleton.parents[joint]] == skeleton.parents[mirror[joint]]
    assert all(skeleton.names[joint].startswith("left_") for joint in skeleton.left)


@SKELETONS
def test_joint_counts_are_what_the_names_say(skeleton):
    count = int("".join(filter(str.isdigit, skeleton.name.split("_")[-1])))
    assert skeleton.num_joints == count


def test_skeletons_are_immutable_and_hashable():
    with pytest.raises(AttributeError):
        H36M_17.names = ()
    assert len(set(ALL.values())) == len(ALL) == 9


def test_published_indices():
    """Indices as the formats' own papers and code number them, so that a reordering cannot pass unseen."""
    assert [H36M_17.names.index(n) for n in ("hip", "right_ankle", "left_ankle", "head")] == [0, 3, 6, 10]
    assert [H36M_17.names.index(n) for n in ("left_shoulder", "left_wrist", "right_wrist")] == [11, 13, 16]
    assert [COCO_17.names.index(n) for n in ("nose", "left_ear", "left_wrist", "right_ankle")] == [
        0,
        3,
        9,
        16,
    ]
    assert [BODY_25.names.index(n) for n in ("neck_base", "hip", "left_ankle", "right_heel")] == [
        1,
        8,
        14,
        24,
    ]


@pytest.mark.parametrize(
    ("skeleton", "indices"),
    [
        (COCO_18, {"neck_base": 1, "right_hip": 8, "left_ankle": 13, "right_eye": 14, "left_ear": 17}),
        (BODY_25B, {"right_elbow": 8, "neck": 17, "head": 18, "left_big_toe": 19, "right_heel": 24}),
        (HALPE_26, {"head": 17, "neck_base": 18, "hip": 19, "right_big_toe": 21, "left_heel": 24}),
        (VITPOSE_25, {"neck_base": 5, "left_hip": 12, "hip": 14, "left_knee": 15, "right_heel": 24}),
        (MEDIAPIPE_33, {"left_shoulder": 11, "right_wrist": 16, "left_hip": 23, "left_foot_index": 31}),
        (COCO_133, {"right_ankle": 16, "left_big_toe": 17, "right_face_0": 23, "left_face_0": 39}),
        (COCO_133, {"face_30": 53, "left_hand_0": 91, "right_hand_0": 112, "right_hand_20": 132}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_published_indices_of_detectors(skeleton, indices):
    assert {name: skeleton.names.index(name) for name in indices} == indices


def test_a_face_mirrors_onto_itself():
    """The 68 points: jaw 0-16, brows 17-26, eyes 36-47, mouth 48-67, right side of the person first."""
    face = [joint - 23 for joint in COCO_133.mirror[23:91]]
    assert [face[k] for k in (0, 8, 17, 30, 31, 36, 41, 48, 58, 57, 60, 67)] == [
        *(16, 8, 26, 30, 35, 45, 46, 54, 56, 57, 64, 65),
    ]


def test_no_joint_is_invented_where_missing_ones_are_to_be_hidden():
    values = pose(COCO_17, dims=2)
    seen = jnp.zeros(values.shape[:-1], bool)
    guessed, _ = convert(values, seen, COCO_17, H36M_17)
    found, hidden = convert(values, seen, COCO_17, H36M_17, missing="hidden")
    invented = [H36M_17.names.index(name) for name in ("spine", "neck", "head")]
    assert hidden[..., invented].all() and hidden.sum() == 3 * values.shape[0] * values.shape[1]
    kept = [joint for joint in range(17) if joint not in invented]
    np.testing.assert_array_equal(found[..., kept, :], guessed[..., kept, :])
    assert not found[..., invented, :].any()
    # Joints that a format names are never hidden.
    values = pose(BODY_25B, dims=2)
    found, hidden = convert(values, jnp.zeros(values.shape[:-1], bool), BODY_25B, H36M_17, missing="hidden")
    for name in ("neck", "head"):
        joint = H36M_17.names.index(name)
        np.testing.assert_array_equal(found[..., joint, :], values[..., BODY_25B.names.index(name), :])
    assert np.flatnonzero(np.asarray(hidden).any((0, 1))).tolist() == [H36M_17.names.index("spine")]


def test_what_missing_may_be_is_named():
    values = pose(COCO_17)
    seen = jnp.zeros(values.shape[:-1], bool)
    with pytest.raises(ValueError, match="missing is 'guess': choose from midpoint, hidden"):
        convert.__wrapped__(values, seen, COCO_17, H36M_17, missing="guess")
    strange = Skeleton("strange", tuple(f"point {k}" for k in range(17)), COCO_17.parents, (), ())
    with pytest.raises(ValueError, match="source strange has no joint of target h36m_17"):
        convert(values, seen, strange, H36M_17, missing="hidden")


def test_exact_midpoints_have_rules():
    assert set(EXACT_MIDPOINTS) <= set(MIDPOINTS)


def test_every_skeleton_says_what_its_missing_joints_are_better_off_as():
    assert set(BETTER_MISSING) == set(ALL) and set(BETTER_MISSING.values()) <= set(get_args(Missing))


def test_h36m_parents_are_those_of_the_captures():
    if not FIXTURE.exists():
        pytest.skip("the capture fixtures are not beside this checkout")
    assert tuple(json.loads(FIXTURE.read_text())["parents"]) == H36M_17.parents


@SKELETONS
def test_conversion_to_itself_changes_nothing(skeleton):
    values = pose(skeleton)
    hidden = jnp.array(np.random.default_rng(1).random(values.shape[:-1]) < 0.5)
    new_values, new_hidden = convert(values, hidden, skeleton, skeleton)
    np.testing.assert_array_equal(new_values, values)
    np.testing.assert_array_equal(new_hidden, hidden)


@pytest.mark.parametrize("source", [COCO_17, BODY_25], ids=lambda s: s.name)
def test_conversion_to_h36m_matches_numpy_by_name(source):
    values = pose(source, dims=2)
    hidden = jnp.array(np.random.default_rng(2).random(values.shape[:-1]) < 0.3)
    new_values, new_hidden = convert(values, hidden, source, H36M_17, in_time=False)
    # Joints without an axis of frames are converted alike.
    moment = convert(values[0, 0], hidden[0, 0], source, H36M_17)
    np.testing.assert_array_equal(moment[0], new_values[0, 0])
    np.testing.assert_array_equal(moment[1], new_hidden[0, 0])

    x = {name: np.asarray(values)[..., j, :] for j, name in enumerate(source.names)}
    h = {name: np.asarray(hidden)[..., j] for j, name in enumerate(source.names)}
    if "hip" not in x:
        x["hip"] = 0.5 * (x["left_hip"] + x["right_hip"])
        h["hip"] = h["left_hip"] | h["right_hip"]
    x["thorax"] = 0.5 * (x["left_shoulder"] + x["right_shoulder"])
    h["thorax"] = h["left_shoulder"] | h["right_shoulder"]
    x["spine"], h["spine"] = 0.5 * (x["hip"] + x["thorax"]), h["hip"] | h["thorax"]
    x["neck"], h["neck"] = 0.5 * (x["thorax"] + x["nose"]), h["thorax"] | h["nose"]
    x["head"], h["head"] = 0.5 * (x["left_ear"] + x["right_ear"]), h["left_ear"] | h["right_ear"]
    for joint, name in enumerate(H36M_17.names):
        np.testing.assert_allclose(new_values[..., joint, :], x[name], atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(new_hidden[..., joint], h[name], err_msg=name)


def test_conversion_commutes_with_the_mirror():
    values = pose(BODY_25)
    hidden = jnp.zeros(values.shape[:-1], bool)
    direct, _ = convert(values, hidden, BODY_25, H36M_17)
    mirrored, _ = convert(values[..., BODY_25.mirror, :], hidden, BODY_25, H36M_17)
    np.testing.assert_allclose(mirrored, direct[..., H36M_17.mirror, :], atol=1e-6)


def test_nan_touches_only_the_joints_built_from_it():
    values = pose(COCO_17)
    ear = COCO_17.names.index("left_ear")
    hidden = jnp.zeros(values.shape[:-1], bool).at[..., ear].set(True)
    broken = values.at[..., ear, :].set(jnp.nan)
    new_values, new_hidden = convert(broken, hidden, COCO_17, H36M_17, in_time=False)
    head = H36M_17.names.index("head")
    only_head = np.arange(17) == head
    np.testing.assert_array_equal(np.isnan(np.asarray(new_values)).any((0, 1, 3)), only_head)
    np.testing.assert_array_equal(np.asarray(new_hidden).any((0, 1)), only_head)
    # In a clip the other ear stands for the head.
    new_values, new_hidden = convert(broken, hidden, COCO_17, H36M_17)
    np.testing.assert_array_equal(new_values[..., head, :], values[..., COCO_17.names.index("right_ear"), :])
    assert not new_hidden.any() and bool(jnp.isfinite(new_values).all())


def midpoint(first, second, sides):
    """The rule for one person, frame by frame: (values, hidden) of two joints to those of their midpoint."""
    (a, a_hidden), (b, b_hidden) = first, second
    frames = np.arange(len(a))
    together = frames[~a_hidden & ~b_hidden]
    values, hidden = np.full_like(a, np.nan), np.ones(len(a), bool)
    for frame in frames:
        offset = np.zeros(a.shape[-1])
        if len(together):
            known = (b - a)[together].T
            offset = np.array([np.interp(frame, together, axis) for axis in known])
        elif not sides:
            continue
        if not a_hidden[frame]:
            values[frame], hidden[frame] = a[frame] + offset / 2, False
        elif not b_hidden[frame]:
            values[frame], hidden[frame] = b[frame] - offset / 2, False
    return values, hidden


@pytest.mark.parametrize("source", [COCO_17, BODY_25], ids=lambda s: s.name)
def test_a_midpoint_is_computed_from_the_part_that_is_seen(source):
    """Half of all joints hidden, and NaN: in stretches, now and then, all the time, one at a time."""
    rng = np.random.default_rng(3)
    people, frames = 6, 40
    values = rng.normal(size=(people, frames, source.num_joints, 2)).astype(np.float32)
    hidden = rng.random(values.shape[:-1]) < np.array([0.1, 0.5, 0.95, 0, 0, 0])[:, None, None]
    for person, names in ((3, ("left_hip", "left_shoulder")), (4, ("nose",)), (5, ("left_hip", "right_hip"))):
        hidden[person][:, [source.names.index(name) for name in names]] = True
    values[hidden] = np.nan
    new_values, new_hidden = convert(jnp.asarray(values), jnp.asarray(hidden), source, H36M_17)
    for person in range(people):
        joint = {name: (values[person, :, j], hidden[person, :, j]) for j, name in enumerate(source.names)}
        if "hip" not in joint:
            joint["hip"] = midpoint(joint["left_hip"], joint["right_hip"], True)
        joint["thorax"] = midpoint(joint["left_shoulder"], joint["right_shoulder"], True)
        joint["head"] = midpoint(joint["left_ear"], joint["right_ear"], True)
        joint["spine"] = midpoint(joint["hip"], joint["thorax"], False)
        joint["neck"] = midpoint(joint["thorax"], joint["nose"], False)
        for index, name in enumerate(H36M_17.names):
            wanted, gone = joint[name]
            np.testing.assert_array_equal(new_hidden[person, :, index], gone, err_msg=f"{person} {name}")
            found = np.asarray(new_values[person, :, index])
            np.testing.assert_allclose(found[~gone], wanted[~gone], atol=2e-6, err_msg=f"{person} {name}")
    assert new_hidden[4, :, H36M_17.names.index("neck")].all()  # no nose, and the thorax is none
    if source == COCO_17:
        assert not new_hidden[3, :, 0].any() and new_hidden[5, :, [0, 7]].all()


def test_midpoint_rules_end():
    """Every rule leads, through other rules, to joints without one; a circle would recurse for ever."""

    def depth(name: str, seen: tuple[str, ...] = ()) -> int:
        assert name not in seen, f"{name} is built from itself"
        return 1 + max(depth(part, (*seen, name)) for part in MIDPOINTS[name]) if name in MIDPOINTS else 0

    assert max(depth(name) for name in MIDPOINTS) >= 2


def test_a_joint_that_cannot_be_built_is_named():
    values = pose(H36M_17)
    with pytest.raises(ValueError, match=r"coco_17 needs the joint 'nose'.*h36m_17.*MIDPOINTS"):
        convert(values, jnp.zeros(values.shape[:-1], bool), H36M_17, COCO_17)


def test_wrong_joint_count_names_both_numbers():
    values = pose(COCO_17)
    with pytest.raises(ValueError, match=r"values has 17 joints.*body_25 has 25"):
        convert(values, jnp.zeros(values.shape[:-1], bool), BODY_25, H36M_17)


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (jnp.zeros((3, 17), bool), r"values has shape \(4, 17, 2\) and occluded \(3, 17\)"),
        (jnp.zeros((4, 17)), r"occluded has dtype float32: pass booleans"),
    ],
)
def test_occluded_that_does_not_fit_is_refused_without_the_shape_checker(hidden, message):
    with pytest.raises(ValueError, match=message):
        convert.__wrapped__(jnp.zeros((4, 17, 2)), hidden, H36M_17, COCO_17)
