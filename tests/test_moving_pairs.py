"""Pairs before a moving camera, made of generated people; the frozen set where the captures are."""

import hashlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from experiments.moving_pairs import draw, measure, random_masks, row, table_one
from gated_lift.cameras import camera_to_world
from gated_lift.clips import MotionClip, bone_lengths
from gated_lift.readers import captures
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import moving_pairs
from gated_lift.synthetic.generated import crossing_pair, stand, walk
from gated_lift.synthetic.moving_pairs import Recipe, film_pair, fingerprint, read_pairs, write_pairs
from gated_lift.synthetic.obstacles import Obstacles
from gated_lift.synthetic.placing import (
    JOINT_CLEARANCE,
    KINDS,
    MEETING_GAP,
    ROOT_CLEARANCE,
    TURN,
    WIDEST,
    Part,
    nearest_joints,
    place_pairs,
    walk_around,
)
from gated_lift.synthetic.snapping import Snapping
from solvers import Extrinsics, project

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "cmu_single.npz").exists(), reason="the captures are not beside the project"
)

FRAMES = 60
PARTS = tuple(Part(kind, 2 if kind == "past" else 1, FRAMES) for kind in KINDS)


def clip(poses, name, floor=0.0):
    poses = np.array(poses) + np.array([0, 0, floor], np.float32)
    return MotionClip(
        poses[None], 50.0, H36M_17, name, name.split("_")[0], "generated", floor, "made for tests"
    )


def people():
    """Walkers and standers of several subjects, on floors that are not at zero, and one couple."""
    walkers = [
        clip(
            walk(90 + 10 * i, heading=0.4 * i, start=(1.0 * i, -2.0 * i), phase=0.2 * i),
            f"{i}_01",
            0.03 * i - 0.05,
        )
        for i in range(4)
    ]
    standers = [clip(stand(90, heading=1.0 * i, start=(3.0 * i, 1.0)), f"{i}_02", 0.02 * i) for i in range(3)]
    couple = crossing_pair(140)._replace(name="8_03+9_03a", subject="8+9")
    return [*walkers, *standers, couple]


def small(seed=6):
    """Few scenes and cameras: what only has to run takes no longer than that."""
    return Recipe(seed, (Part("beside", 1, FRAMES), Part("past", 1, FRAMES)), takes=3)


@pytest.fixture(scope="module")
def pairs():
    return moving_pairs.moving_pairs(people(), small())


def gaps(placed):
    hips = placed.poses[:, :, 0, :2]
    return np.linalg.norm(hips[0] - hips[1], axis=-1)


# Placing


def test_people_meet_when_they_should_and_keep_clear():
    placed = place_pairs(people(), PARTS, 0)
    assert [pair.kind for pair in placed] == ["across", "past", "past", "around", "beside", "dance"]
    for pair in placed[:-1]:
        apart = gaps(pair)
        assert apart.min() >= ROOT_CLEARANCE and nearest_joints(pair.poses) >= JOINT_CLEARANCE
        assert pair.sources[0] != pair.sources[1] and pair.licence == "made for tests"
    for pair in placed[:3]:
        apart = gaps(pair)
        assert MEETING_GAP[pair.kind][0] - 1e-9 <= apart[pair.meeting] <= WIDEST
        assert 0.4 * FRAMES - 1 <= pair.meeting <= 0.6 * FRAMES + 1
        # Hips sway on their way, so the least distance is near the meeting rather than on it.
        assert apart[pair.meeting] < apart.min() + 0.06
        assert apart[[0, -1]].min() > apart[pair.meeting] + 0.1
        way = pair.poses[:, -1, 0, :2] - pair.poses[:, 0, 0, :2]
        angle = abs(np.angle(np.exp(1j * np.subtract(*np.arctan2(way[:, 1], way[:, 0])))))
        low, high = TURN[pair.kind]
        assert low - 1e-6 <= angle <= min(high, np.pi) + 1e-6


def test_floors_are_levelled_and_bodies_stay_what_they_were():
    clips = {single.name: single for single in people()}
    for pair in place_pairs(people(), PARTS, 1):
        assert 0.03 < pair.poses[..., 2].min() < 0.12
        for person in range(2):
            name = "+".join(pair.sources) if pair.kind == "dance" else pair.sources[person]
            source = clips[name].poses[person if pair.kind == "dance" else 0]
            cut = source[pair.starts[person] :][:FRAMES].astype(np.float64)
            np.testing.assert_allclose(
                pair.poses[person, ..., 2], cut[..., 2] - clips[name].floor_z, atol=1e-12
            )
            np.testing.assert_allclose(
                bone_lengths(pair.poses[person], H36M_17), bone_lengths(cut, H36M_17), atol=1e-6
            )


def test_couples_keep_their_distance_and_share_no_frame():
    couple = people()[-1]
    first, second = place_pairs(people(), (Part("dance", 2, FRAMES),), 0)
    assert {first.starts, second.starts} == {(0, 0), (60, 60)} and first.sources == ("8_03", "9_03a")
    hips = couple.poses[:, first.starts[0] :, 0, :2][:, :FRAMES].astype(np.float64)
    np.testing.assert_allclose(gaps(first), np.linalg.norm(hips[0] - hips[1], axis=-1), atol=1e-12)


@pytest.mark.parametrize("side", [1, -1])
def test_a_walk_is_wrapped_round_a_circle(side):
    poses = walk(120, heading=0.7, start=(5.0, 2.0), speed=1.0).astype(np.float64)
    radius = 1.2
    wrapped = walk_around(poses, radius, side, 0.5)
    hips = wrapped[:, 0, :2]
    # The hips of a walk sway by a few centimetres to either side of its line.
    np.testing.assert_allclose(np.linalg.norm(hips, axis=-1), radius, atol=0.06)
    place = np.unwrap(np.arctan2(hips[:, 1], hips[:, 0]))
    assert place[0] == pytest.approx(0.5, abs=1e-6)
    length = np.linalg.norm(poses[-1, 0, :2] - poses[0, 0, :2])
    assert place[-1] - place[0] == pytest.approx(side * length / radius, abs=1e-6)
    # The body turns with the path: the walker faces along the circle, the left hip on the left.
    left = (wrapped[:, 4] - wrapped[:, 1])[:, :2]
    inward = -hips / np.linalg.norm(hips, axis=-1, keepdims=True)
    assert (side * (left * inward).sum(axis=-1) > 0.9 * np.linalg.norm(left, axis=-1)).all()
    np.testing.assert_allclose(bone_lengths(wrapped, H36M_17), bone_lengths(poses, H36M_17), atol=1e-9)


def test_no_pair_comes_twice_and_clips_are_used_in_turn():
    placed = place_pairs(people(), (Part("across", 6, FRAMES),), 0)
    assert len({frozenset(pair.sources) for pair in placed}) == 6
    used = [name for pair in placed for name in pair.sources]
    assert set(used) == {"0_01", "1_01", "2_01", "3_01"}


def test_one_who_both_walks_and_stands_does_not_meet_themself():
    both = walk(90, speed=0.7), stand(90)
    step = both[0][-1, 0, :2] - both[1][0, 0, :2]
    first = clip(np.concatenate([both[0], both[1] + np.array([*step, 0], np.float32)]), "1_01")
    other = clip(stand(90), "2_01")
    for seed in range(4):
        (pair,) = place_pairs([first, other], [Part("around", 1, 60)], seed)
        assert pair.sources == ("2_01", "1_01")


def test_a_part_does_not_depend_on_the_parts_after_it():
    whole, alone = place_pairs(people(), PARTS, 5), place_pairs(people(), PARTS[:1], 5)
    np.testing.assert_array_equal(whole[0].poses, alone[0].poses)


@pytest.mark.parametrize(
    ("clips", "part", "words"),
    [
        (slice(0, 0), Part("past", 1, 60), "clips is empty"),
        (slice(0, None), Part("past", 1, 500), "0 pairs for .*0 and 0 of them have 500 frames"),
        (slice(0, None), Part("past", 7, 60), "make 6 pairs"),
        (slice(0, 7), Part("dance", 1, 60), "0 stretches of 60 frames of couples"),
        (slice(0, None), Part("tango", 1, 60), "kind is 'tango': choose from across, past"),
        (slice(0, None), Part("past", 0, 60), "asks for nothing"),
    ],
)
def test_bad_parts(clips, part, words):
    with pytest.raises(ValueError, match=words):
        place_pairs(people()[clips], [part], 0)


def test_clips_of_other_rates_are_refused():
    clips = people()
    clips[1] = clips[1]._replace(fps=25.0)
    with pytest.raises(ValueError, match=r"'1_01' has 25\.0 frames a second.*clips.resample"):
        place_pairs(clips, PARTS, 0)


# Filming


def test_what_is_told_fits_together(pairs):
    placed = place_pairs(people(), small().parts, small().seed)
    for pair, world in zip(pairs, placed, strict=True):
        pose = Extrinsics(*(jnp.asarray(values) for values in pair.extrinsics))
        np.testing.assert_allclose(camera_to_world(jnp.asarray(pair.joints), pose), world.poses, atol=5e-4)
        pixels = np.asarray(project(jnp.asarray(pair.joints), pair.camera))
        outside = ((pixels < 0) | (pixels >= [pair.width, pair.height])).any(axis=-1)
        near_edge = np.abs(pixels - np.clip(pixels, 1, [pair.width - 1, pair.height - 1])).max(axis=-1) > 0
        assert pair.occluded[outside & ~near_edge].all()
        seen = ~pair.occluded
        assert np.median(np.linalg.norm(pair.keypoints - pixels, axis=-1)[seen]) < 12
        # Nobody is found by scraps.
        share = pair.occluded.mean(axis=-1)
        assert not ((share >= 0.75) & (share < 1)).any()
    # What bodies hide is most of what the detector is unsure of.
    covered, occluded = (
        np.concatenate([getattr(pair, name) for pair in pairs], axis=1) for name in ("covered", "occluded")
    )
    assert covered.any() and occluded[covered].mean() > 0.8 and covered[occluded].mean() > 0.5


def test_the_seed_decides(pairs):
    assert fingerprint(moving_pairs.moving_pairs(people(), small())) == fingerprint(pairs)
    others = moving_pairs.moving_pairs(people(), small(4))
    assert fingerprint(others) != fingerprint(pairs)
    assert fingerprint(pairs[:1]) != fingerprint(pairs)


def test_the_camera_that_sees_most_hidden_is_kept(pairs):
    recipe = small()
    placed = place_pairs(people(), recipe.parts, recipe.seed)
    # The first of three cameras is the only one of one.
    alone = [film_pair(pair, recipe._replace(takes=1), index) for index, pair in enumerate(placed)]
    hidden, hidden_alone = (
        sum((pair.covered.mean(axis=-1) ** 4).sum() for pair in some) for some in (pairs, alone)
    )
    assert hidden > hidden_alone
    with pytest.raises(ValueError, match="takes is 0"):
        film_pair(placed[0], recipe._replace(takes=0), 0)


# Storing


def test_files_give_back_the_same_scenes(pairs, tmp_path):
    path = write_pairs(tmp_path / "deep" / "pairs.npz", pairs)
    again = read_pairs(path, fingerprint(pairs))
    assert fingerprint(again) == fingerprint(pairs)
    for first, second in zip(pairs, again, strict=True):
        for name in ("keypoints", "occluded", "covered", "joints"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
            assert getattr(first, name).dtype == getattr(second, name).dtype
        np.testing.assert_array_equal(first.extrinsics.rotation, second.extrinsics.rotation)
        np.testing.assert_array_equal(first.camera.focal, second.camera.focal)
        assert first[-7:] == second[-7:] and first.kind == second.kind
    with np.load(path, allow_pickle=False) as arrays:
        assert all(not arrays[name].dtype.hasobject for name in arrays.files)
        assert arrays["keypoints"].dtype == np.int32


def test_rounding_of_another_machine_does_not_change_the_hash(pairs):
    noise = np.random.default_rng(0)

    def shaken(values, size):
        return (values + noise.uniform(-size, size, values.shape)).astype(np.float32)

    other = tuple(
        pair._replace(keypoints=shaken(pair.keypoints, 0.02), joints=shaken(pair.joints, 4e-5))
        for pair in pairs
    )
    assert fingerprint(other) == fingerprint(pairs)
    moved = (pairs[0]._replace(joints=pairs[0].joints + np.float32(1e-4)), *pairs[1:])
    assert fingerprint(moved) != fingerprint(pairs)


def altered(path, **changes):
    with np.load(path) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    np.savez(path, **{name: value for name, value in (contents | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"joints": a["joints"] + np.int32(1)}, "has sha256 .*, expected .*cannot be compared"),
        (lambda a: {"occluded": ~a["occluded"]}, "has sha256"),
        (lambda a: {"kind": np.array(["across", "tango"])}, r"kind is \['tango'\]"),
        (lambda a: {"joints": a["joints"][:-1]}, "joints has shape"),
        (lambda a: {"joints": a["joints"].astype(float)}, "joints has shape .* dtype float64"),
        (lambda a: {"length": a["length"] - np.int32(FRAMES)}, "length has shape"),
        (lambda a: {"units": np.array([1.0, 1.0, 1.0])}, "units is"),
        (lambda a: {"fps": np.array([50.0, np.nan])}, "fps is"),
        (lambda a: {"licence": np.array([1, 2])}, "licence has shape"),
        (lambda a: {"sources": None}, "lacks sources"),
        (lambda a: {"kind": np.array(["across", None], object)}, "pickled Python objects"),
    ],
)
def test_altered_files_are_refused(pairs, tmp_path, change, words):
    path = write_pairs(tmp_path / "pairs.npz", pairs)
    with np.load(path) as arrays:
        changes = change(arrays)
    altered(path, **changes)
    with pytest.raises(ValueError, match=words):
        read_pairs(path, fingerprint(pairs))


def test_nothing_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="pairs is empty"):
        write_pairs(tmp_path / "pairs.npz", ())


# Statistics


def test_runs_and_hidings_are_counted():
    mask = np.zeros((2, 10, 3), bool)
    mask[0, 2:6] = True
    mask[0, 5:9, 1] = True
    mask[1, 0, 2] = True
    found = measure([mask, np.zeros((1, 4, 3), bool)])
    assert sorted(found.runs.tolist()) == [1, 4, 4, 7]
    assert found.hidings.tolist() == [4]
    assert found.joints == pytest.approx(16 / 72) and found.people == pytest.approx(4 / 24)
    with pytest.raises(ValueError, match="masks is empty"):
        measure([])


def test_tables_and_picture(pairs, tmp_path):
    headings, (videos, frames) = table_one(pairs)
    assert headings == ["", "past", "beside", "total"]
    assert videos[1:] == ["1", "1", "2"] and frames[1:] == ["60", "60", "120"]

    hidden = [pair.occluded for pair in pairs]
    cells = row("all", hidden, 50.0, pairs)
    assert cells[:2] == ["all", "2"]
    assert float(cells[3]) == pytest.approx(100 * np.mean(hidden), abs=0.05)
    apart = min(gaps(placed).min() for placed in place_pairs(people(), small().parts, small().seed))
    assert float(cells[11]) == pytest.approx(apart, abs=0.006)
    masks = random_masks(pairs, 0.5, 5, 0)
    assert [mask.shape for mask in masks] == [(2, FRAMES, 17)] * 2 and 0.4 < np.mean(masks) < 0.6
    assert row("random", masks, 50.0)[2] == "–"
    assert "–" in row("nothing", [np.zeros((2, 9, 17), bool)], 50.0)

    ink = imread(draw(pairs, tmp_path / "scenes.png"))[..., :3].min(axis=-1) < 0.9
    assert 0.02 < ink.mean() < 0.6


def test_a_sure_detector_puts_covered_joints_on_whoever_covers_them(pairs):
    recipe = small()._replace(snapping=Snapping(rate=1.0, mirrored=0.0, nearest=0.0))
    found = moving_pairs.moving_pairs(people(), recipe)
    for pair, before in zip(found, pairs, strict=True):
        np.testing.assert_array_equal(pair.joints, before.joints)
        np.testing.assert_array_equal(pair.covered, before.covered)
        true = np.asarray(project(jnp.asarray(pair.joints), pair.camera))
        apart = np.linalg.norm(pair.keypoints - true[::-1], axis=-1)
        seen = ~pair.occluded & pair.covered
        assert seen.mean() > 0.5 * pair.covered.mean() and np.median(apart[seen]) < 15
        lingering = pair.covered.copy()
        for late in range(1, 6):
            lingering[:, late:] |= pair.covered[:, :-late]
        own = ~lingering & ~before.occluded
        np.testing.assert_array_equal(pair.keypoints[own], before.keypoints[own])
        assert not pair.occluded[own].any()


def test_obstacles_hide_on_top_of_bodies(pairs):
    """An edge all along for both, then one whole person for a while; bodies hide what they hid."""
    recipe = small()._replace(snapping=Snapping(), obstacles=Obstacles(("edge", "whole"), 0.8))
    edge, whole = moving_pairs.moving_pairs(people(), recipe)
    for pair, before in zip((edge, whole), pairs, strict=True):
        np.testing.assert_array_equal(pair.joints, before.joints)
        np.testing.assert_array_equal(pair.covered, before.covered)
    row = np.asarray(project(jnp.asarray(edge.joints), edge.camera))[..., 1]
    ankles = [H36M_17.names.index(f"{side}_ankle") for side in ("left", "right")]
    # Of whom bodies hide much besides, nothing is found.
    found = ~edge.occluded.all(axis=-1)
    assert edge.occluded[found][:, ankles].mean() > 0.9 and edge.occluded[found][:, 8:].mean() < 0.4
    hidden, seen = edge.occluded & found[..., None] & ~edge.covered, ~edge.occluded
    assert np.median(row[hidden]) > row[seen].max()
    # 0.8 s of 60 frames at 50 a second are 40, more than the 36 that may be hidden of so short a scene.
    hidden = [int(person.all(axis=-1).sum()) for person in whole.occluded]
    assert 14 <= max(hidden) <= 46


# The frozen set

# What the recipe chooses, and its first scene: the whole set takes too long to build for a test of every day.
CHOICES = "c54489a5da37efd070d55e0358f2fcef50d52cac2af4f4252463022b37e1f1ef"
FIRST_SCENE = "63907da6c0751c6fef84e41d3d122cb474ea35e41fe933cb44606e8a4c359fe5"


@needs_data
def test_the_frozen_set_is_what_it_was():
    clips = [
        clip for name in ("cmu_single", "cmu_pairs") for clip in captures.read_captures(DATA / f"{name}.npz")
    ]
    _, validation = captures.split(clips)
    recipe = moving_pairs.EVALUATION
    placed = place_pairs(validation, recipe.parts, recipe.seed)
    choices = repr([(pair.kind, pair.sources, pair.starts, pair.meeting) for pair in placed])
    names = {part for one in validation for part in one.name.split("+")}
    assert all(set(pair.sources) <= names for pair in placed)
    assert hashlib.sha256(choices.encode()).hexdigest() == CHOICES
    assert fingerprint((film_pair(placed[0], recipe, 0),)) == FIRST_SCENE
    second = moving_pairs.SECOND
    assert {
        part for pair in place_pairs(validation, second.parts, second.seed) for part in pair.sources
    } <= names


def test_a_set_of_other_clips_is_not_the_frozen_one(monkeypatch):
    monkeypatch.setattr(moving_pairs, "moving_pairs", lambda clips, recipe: ())
    with pytest.raises(ValueError, match="write_pairs made of moving-pairs-v1"):
        moving_pairs.evaluation_set(people())
