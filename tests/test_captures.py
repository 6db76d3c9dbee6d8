"""The reader of the captures and the split, on small files in exactly their layout and on the real ones."""

from pathlib import Path

import numpy as np
import pytest

from gated_lift.clips import bone_lengths
from gated_lift.readers.captures import JOINT_NAMES, read_captures, split, write_captures
from gated_lift.skeleton import COCO_17, H36M_17

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "cmu_single.npz").exists(), reason="the captures are not beside the project"
)


def contents(people=None, **changes):
    """A capture file of three clips, 5 + 3 + 4 frames, as a dictionary of arrays."""
    shape = (12, 17, 3) if people is None else (12, people, 17, 3)
    poses = np.random.default_rng(0).integers(-9000, 9000, size=shape).astype(np.int16)
    arrays = {
        "poses": poses,
        "scale": np.float32(2e-4),
        "start": np.array([0, 5, 8], np.int32),
        "length": np.array([5, 3, 4], np.int32),
        "clip": np.array(
            ["02_01", "16_03", "35_01"] if people is None else ["60_11+61_11a", "60_01+61_01", "18_01+19_01"]
        ),
        "subject": np.array(["02", "16", "35"] if people is None else ["60+61", "60+61", "18+19"]),
        "action": np.array(["walk", "jump", "run"]),
        "fps": np.float32(50),
        "floor_z": np.array([0.01, -0.02, 0.0], np.float32),
        "joint_names": np.array(JOINT_NAMES),
        "parents": np.array(H36M_17.parents, np.int8),
        "up_axis": np.array("z"),
        "licence": np.array("free for all uses"),
    }
    return arrays | changes


def write(tmp_path, arrays):
    np.savez_compressed(tmp_path / "captures.npz", **arrays)
    return tmp_path / "captures.npz"


def test_single_people_are_read(tmp_path):
    arrays = contents()
    clips = read_captures(write(tmp_path, arrays))
    assert [clip.name for clip in clips] == ["02_01", "16_03", "35_01"]
    assert [clip.poses.shape for clip in clips] == [(1, 5, 17, 3), (1, 3, 17, 3), (1, 4, 17, 3)]
    np.testing.assert_allclose(clips[1].poses[0], arrays["poses"][5:8] * 2e-4, rtol=1e-6)
    assert clips[1].poses.dtype == np.float32 and clips[1].fps == 50.0 and clips[1].skeleton == H36M_17
    assert clips[1].action == "jump" and clips[1].licence == "free for all uses"
    assert clips[1].floor_z == pytest.approx(-0.02)


def test_pairs_keep_their_people_apart(tmp_path):
    arrays = contents(people=2)
    clips = read_captures(write(tmp_path, arrays))
    assert clips[2].poses.shape == (2, 4, 17, 3)
    for person in range(2):
        np.testing.assert_allclose(clips[2].poses[person], arrays["poses"][8:, person] * 2e-4, rtol=1e-6)


def test_float_poses_are_read(tmp_path):
    poses = np.random.default_rng(1).normal(size=(12, 17, 3))
    clips = read_captures(write(tmp_path, contents(poses=poses, scale=np.float64(1.0))))
    np.testing.assert_allclose(clips[0].poses[0], poses[:5], rtol=1e-6)


def test_subjects_are_chosen(tmp_path):
    path = write(tmp_path, contents())
    assert [clip.subject for clip in read_captures(path, subjects=("35", "02"))] == ["02", "35"]
    assert [clip.subject for clip in read_captures(path, exclude=("35", "99"))] == ["02", "16"]
    pairs = write(tmp_path, contents(people=2))
    assert [clip.subject for clip in read_captures(pairs, subjects=("61",))] == ["60+61", "60+61"]
    assert [clip.subject for clip in read_captures(pairs, exclude=("60",))] == ["18+19"]
    with pytest.raises(ValueError, match="no subject 2: choose from 18, 19, 60, 61"):
        read_captures(pairs, subjects=("2",))
    with pytest.raises(ValueError, match="has no clip left"):
        read_captures(pairs, exclude=("60", "18"))
    with pytest.raises(ValueError, match="collections"):
        read_captures(pairs, subjects="60")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((12, 16, 3), np.int16)}, r"poses have shape \(12, 16, 3\)"),
        ({"poses": np.zeros((12, 17, 2), np.int16)}, r"poses have shape \(12, 17, 2\)"),
        ({"poses": np.zeros((12, 17, 3), bool)}, "poses are bool"),
        ({"poses": np.full((12, 17, 3), np.nan, np.float32)}, "not finite at person 0, frame 0, joint 0"),
        ({"scale": np.float32(0)}, "scale is 0"),
        ({"scale": np.ones(3, np.float32)}, "scale is"),
        ({"scale": np.float64(1e-60)}, "scale is 1e-60, expected one positive number"),
        ({"scale": np.float64(1e60)}, r"scale is 1e\+60, expected one positive number"),
        ({"scale": np.complex64(1)}, "scale is"),
        ({"poses": np.full((12, 17, 3), 1e300)}, "not finite at person 0, frame 0, joint 0"),
        ({"scale": np.float32(np.nan)}, "scale is nan"),
        ({"fps": np.float32(-50)}, "fps is -50"),
        ({"start": np.array([0, -1, 8], np.int32)}, "from -1 to 2 lies outside the 12 frames"),
        ({"length": np.array([5, 0, 4], np.int32)}, "from 5 to 5 lies outside the 12 frames or is empty"),
        ({"length": np.array([5, 3, 5], np.int32)}, "from 8 to 13 lies outside the 12 frames"),
        ({"length": np.array([5, 3, 2**31 - 1], np.int32)}, "from 8 to 2147483655 lies outside"),
        ({"length": np.array([6, 3, 4], np.int32)}, "starts at frame 5 before another has ended at 6"),
        ({"length": np.array([5, 3], np.int32)}, r"length has shape \(2,\)"),
        ({"start": np.array([0.0, 5.0, 8.0])}, "start has shape .* dtype float64"),
        ({"clip": np.array([1, 2, 3])}, "clip has shape .* dtype int64"),
        ({"floor_z": np.array(0.0, np.float32)}, r"floor_z has shape \(\)"),
        ({"floor_z": np.array([np.nan, 0, 0], np.float32)}, "floor_z of clip '02_01' is nan"),
        ({"joint_names": np.array(JOINT_NAMES[::-1])}, "joint_names .* are not the 17 joints of h36m_17"),
        ({"parents": np.array(H36M_17.parents, float)}, "parents .* are not the 17 joints of h36m_17"),
        ({"split": np.array(["train", "test"])}, r"split has shape \(2,\)"),
        ({"split": np.array([0, 1, 0])}, "split has shape .* dtype int64"),
        ({"split": np.array(["train", "", "dev"])}, "split has '', 'dev', expected 'train', 'validation'"),
        ({"parents": np.zeros(17, np.int8)}, "parents .* are not the 17 joints of h36m_17"),
        ({"up_axis": np.array("y")}, "up_axis is y, expected z"),
        ({"licence": np.array(3)}, "licence is not one string"),
        ({"action": np.array([None, "a", "b"], dtype=object)}, "action.npy holds pickled"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path, changes, message):
    path = write(tmp_path, contents(**changes))
    with pytest.raises(ValueError, match=message) as caught:
        read_captures(path)
    assert "captures.npz" in str(caught.value)


@pytest.mark.parametrize("name", sorted(contents()))
def test_a_missing_array_is_named(tmp_path, name):
    arrays = contents()
    del arrays[name]
    with pytest.raises(ValueError, match=rf"captures\.npz lacks {name} and holds"):
        read_captures(write(tmp_path, arrays))


def test_truncated_and_oversized_files_are_refused(tmp_path):
    path = write(tmp_path, contents())
    with pytest.raises(ValueError, match="max_bytes is 1000"):
        read_captures(path, max_bytes=1000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"captures\.npz is not a whole"):
        read_captures(path)


@pytest.mark.parametrize(
    ("start", "length"),
    [("int8", "int8"), ("int16", "uint8"), ("uint64", "int64"), ("int64", "uint64"), ("uint8", "uint8")],
)
def test_clips_are_cut_alike_whatever_integers_say_where(tmp_path, start, length):
    """100 + 100 is −56 in eight bits, and a float where uint64 meets int64."""
    poses = np.random.default_rng(0).integers(-9000, 9000, size=(400, 17, 3)).astype(np.int16)
    changes = {"start": np.array([0, 50, 100], start), "length": np.array([50, 50, 100], length)}
    clips = read_captures(write(tmp_path, contents(poses=poses, **changes)))
    assert [clip.poses.shape[1] for clip in clips] == [50, 50, 100]
    np.testing.assert_allclose(clips[2].poses[0], poses[100:200] * 2e-4, rtol=1e-6)


def test_a_file_without_clips_is_refused(tmp_path):
    names = ("start", "length", "clip", "subject", "action", "floor_z")
    with pytest.raises(ValueError, match=r"captures\.npz: it holds no clip"):
        read_captures(write(tmp_path, contents(**{name: contents()[name][:0] for name in names})))


CMU = "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu (NSF EIA-0196217): free for all uses"


@pytest.mark.parametrize(
    ("name", "subject", "expected"),
    [
        ("02_01", "02", "validation"),
        ("27_01", "27", "validation"),
        ("35_11", "35", "train"),
        ("127_14", "127", "train"),  # neither a part of the number nor another subject's trial counts
        ("60_11+61_11a", "60+61", "validation"),
        ("60_11+61_11b", "60+61", "validation"),
        ("60_14+61_14", "60+61", "validation"),
        ("60_01+61_01", "60+61", "train"),
        ("60_04+61_04b", "60+61", "train"),
        ("18_01+19_01", "18+19", "test"),
    ],
)
def test_files_of_cmu_are_split_by_subject_and_salsa_trial(tmp_path, name, subject, expected):
    changes = {"clip": np.array([name] * 3), "subject": np.array([subject] * 3)}
    clips = read_captures(write(tmp_path, contents(licence=np.array(CMU), **changes)))
    assert {clip.split for clip in clips} == {expected}
    # Other laboratories number their people too: theirs are training unless their file says otherwise.
    assert {clip.split for clip in read_captures(write(tmp_path, contents(**changes)))} == {"train"}
    # What a file says of itself goes before the rule.
    said = contents(licence=np.array(CMU), split=np.array(["test", "validation", "train"]), **changes)
    assert [clip.split for clip in read_captures(write(tmp_path, said))] == ["test", "validation", "train"]


def test_a_salsa_clip_without_its_trial_is_refused(tmp_path):
    changes = {"clip": np.array(["salsa"] * 3), "subject": np.array(["60+61"] * 3)}
    with pytest.raises(
        ValueError, match=r"captures\.npz: clip 'salsa' has no trial number, .* or write a split"
    ):
        read_captures(write(tmp_path, contents(licence=np.array(CMU), **changes)))


def test_the_halves_are_what_the_clips_say_and_test_clips_are_in_neither(tmp_path):
    clips = read_captures(write(tmp_path, contents(split=np.array(["validation", "train", "test"]))))
    training, validation = split(iter(clips))
    assert [clip.name for clip in training] == ["16_03"] and [clip.name for clip in validation] == ["02_01"]


def equal(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.poses, other.poses)
        assert one._replace(poses=None) == other._replace(poses=None)


@pytest.mark.parametrize("people", [None, 2])
def test_what_was_read_is_written_back_bit_for_bit(tmp_path, people):
    changes = {"split": np.array(["validation", "train", "test"]), "fps": np.float64(29.97)}
    clips = read_captures(write(tmp_path, contents(people, licence=np.array(CMU), **changes)))
    assert clips[0].fps == 29.97
    path = write_captures(tmp_path / "again.npz", clips)
    assert path == tmp_path / "again.npz"
    equal(read_captures(path), clips)
    # One clip with nothing in its texts, in a file of another suffix.
    bare = clips[1]._replace(action="", licence="")
    equal(read_captures(write_captures(tmp_path / "bare.data", [bare])), [bare])


@pytest.mark.parametrize(("reach", "kind"), [(6.5, np.int16), (6.6, np.int32), (3e5, np.int32)])
def test_written_poses_are_rounded_to_a_fifth_of_a_millimetre(tmp_path, reach, kind):
    (clip, *_) = read_captures(write(tmp_path, contents()))
    poses = np.random.default_rng(1).uniform(-reach, reach, clip.poses.shape).astype(np.float32)
    poses[0, 0, 0] = [-reach, reach, 0]
    path = write_captures(tmp_path / "rounded.npz", [clip._replace(poses=poses)])
    assert np.load(path)["poses"].dtype == kind
    (found,) = read_captures(path)
    np.testing.assert_allclose(found.poses, poses, atol=1.001e-4, rtol=2e-7)


def test_what_one_capture_file_cannot_hold_is_not_written(tmp_path):
    first, second, _ = read_captures(write(tmp_path, contents()))
    path = tmp_path / "never.npz"
    for clips, message in (
        ([], "clips is empty"),
        (
            [first, second._replace(fps=25.0)],
            "clip '16_03' has fps 25.0, clip '02_01' 50.0: .* several files",
        ),
        ([first, second._replace(licence="mine")], "clip '16_03' has licence 'mine'"),
        ([first, second._replace(poses=np.tile(second.poses, (2, 1, 1, 1)))], "has people 2, .* 1"),
        ([first._replace(skeleton=COCO_17)], "has the joints of coco_17"),
        ([first._replace(poses=first.poses * np.nan)], "are not finite"),
        ([first._replace(poses=first.poses + np.float32(5e5))], "clips reach 50.* m from the origin"),
        (
            [first._replace(split="dev")],
            "split of clip '02_01' is 'dev': give one of train, validation, test",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            write_captures(path, clips)
        assert not path.exists()


@needs_data
def test_the_real_captures_and_their_split():
    singles = read_captures(DATA / "cmu_single.npz")
    pairs = read_captures(DATA / "cmu_pairs.npz")
    assert len(singles) == 290 and sum(clip.poses.shape[1] for clip in singles) == 142_741
    assert len(pairs) == 12 and sum(clip.poses.shape[1] for clip in pairs) == 14_942
    assert all(clip.poses.shape[0] == 2 and "NSF EIA-0196217" in clip.licence for clip in pairs)
    training, validation = split(singles + pairs)
    assert len(training) + len(validation) == 302
    assert {clip.subject for clip in validation} == {"02", "05", "06", "07", "26", "27", "60+61"}
    # The salsa couple is in both halves by its trials; nobody else is.
    assert {clip.subject for clip in training} & {clip.subject for clip in validation} == {"60+61"}
    assert not any("60" in clip.subject or "61" in clip.subject for clip in singles)
    assert sorted(clip.name for clip in validation if clip.subject == "60+61") == [
        "60_11+61_11a",
        "60_11+61_11b",
        "60_12+61_12",
        "60_14+61_14",
    ]


@needs_data
def test_the_second_hand_captures_keep_the_same_people_for_validation():
    clips = read_captures(DATA / "cmu_fbx_single.npz")
    assert len(clips) == 1069 and sum(clip.poses.shape[1] for clip in clips) == 654_250
    training, validation = split(clips)
    assert {clip.subject for clip in validation} == {"06", "26", "27"}
    assert sum(clip.poses.shape[1] for clip in validation) == 27_589
    assert len(training) + len(validation) == 1069
    pairs = read_captures(DATA / "cmu_fbx_pairs.npz")
    assert len(pairs) == 39 and len(split(pairs)[0]) == 39
    assert all(clip.fps == 50.0 and clip.poses.shape[0] == 2 for clip in pairs)


@needs_data
def test_people_have_the_size_of_people():
    for name in ("cmu_tiny_single.npz", "cmu_tiny_pairs.npz"):
        for clip in read_captures(DATA / name):
            height = bone_lengths(clip.poses, H36M_17)[..., [1, 2, 6, 7, 8, 9]].sum(axis=-1)
            assert height.min() > 1.2 and height.max() < 2.1
            assert clip.poses[..., 2].max() - clip.floor_z > 1.2  # z is up
