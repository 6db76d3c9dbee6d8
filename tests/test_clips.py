"""Motion clips: what is checked, and that laying people end to end loses and mixes nothing."""

import numpy as np
import pytest

from gated_lift.clips import MotionClip, bone_lengths, concatenate_people, resample, validate
from gated_lift.skeleton import COCO_17, H36M_17


def clip(people=1, frames=6, fps=50.0, seed=0, **changes):
    poses = np.random.default_rng(seed).normal(size=(people, frames, 17, 3)).astype(np.float32)
    made = MotionClip(poses, fps, H36M_17, f"clip{seed}", "1", "walk", 0.0, "free")
    return made._replace(**changes)


def test_validate_returns_a_good_clip():
    good = clip()
    assert validate(good) is good


def spoilt(index, value):
    poses = clip().poses.copy()
    poses[index] = value
    return poses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": clip().poses.astype(np.float64)}, "are float64: convert"),
        ({"poses": clip().poses.tolist()}, "are list: convert"),
        ({"poses": clip().poses[0]}, r"shape \(6, 17, 3\): give \(people"),
        ({"poses": clip().poses[..., :2]}, r"shape \(1, 6, 17, 2\)"),
        ({"poses": clip().poses[:, :0]}, r"shape \(1, 0, 17, 3\): leave out"),
        ({"poses": clip().poses[:, :, :16]}, "16 joints, h36m_17 has 17"),
        ({"poses": spoilt((0, 3, 5, 1), np.nan)}, "person 0, frame 3, joint 5"),
        ({"poses": spoilt((0, 2), np.inf)}, r"frame 2, joint 0 \(51 numbers in all\)"),
        ({"fps": 0.0}, "fps of clip 'clip0' is 0.0"),
        ({"fps": float("nan")}, "fps of clip 'clip0' is nan"),
        ({"floor_z": float("inf")}, "floor_z of clip 'clip0' is inf"),
    ],
)
def test_validate_names_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        validate(clip(**changes))


def test_people_are_laid_end_to_end():
    clips = [
        clip(people=2, frames=4, seed=1),
        clip(people=1, frames=7, seed=2),
        clip(people=3, frames=1, seed=3),
    ]
    bank = concatenate_people(clips)
    assert bank.poses.shape == (4 * 2 + 7 + 3, 17, 3) and bank.poses.dtype == np.float32
    assert bank.start.dtype == bank.length.dtype == np.int32
    people = [person for each in clips for person in each.poses]
    assert len(people) == len(bank.start) == len(bank.length) == 6
    for person, start, length in zip(people, bank.start, bank.length, strict=True):
        np.testing.assert_array_equal(bank.poses[start : start + length], person)


def test_clips_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="clips is empty"):
        concatenate_people([])
    with pytest.raises(ValueError, match=r"'clip2' has 30\.0 frames per second, 'clip1' has 50\.0"):
        concatenate_people([clip(seed=1), clip(seed=2, fps=30.0)])
    with pytest.raises(ValueError, match="skeleton coco_17, 'clip1' has h36m_17"):
        concatenate_people([clip(seed=1), clip(seed=2, skeleton=COCO_17)])
    with pytest.raises(ValueError, match="not finite"):
        concatenate_people([clip(seed=1), clip(seed=2, poses=spoilt((0, 0, 0, 0), np.nan))])


def test_bone_lengths_match_a_loop():
    poses = clip(people=2).poses
    lengths = bone_lengths(poses, H36M_17)
    assert lengths.shape == (2, 6, 16) and lengths.dtype == np.float32
    for k, (parent, child) in enumerate(H36M_17.bones):
        expected = np.sqrt(((poses[..., child, :] - poses[..., parent, :]).astype(np.float64) ** 2).sum(-1))
        np.testing.assert_allclose(lengths[..., k], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="16 joints, h36m_17 has 17"):
        bone_lengths(poses[..., :16, :], H36M_17)


@pytest.mark.parametrize(("rate", "frames"), [(25.0, 31), (100.0, 121), (60.0, 73), (29.97, 36)])
def test_resample_reads_the_same_motion(rate, frames):
    """A slow swing is known in closed form at every rate."""

    def swing(count, fps):
        time = np.arange(count) / fps
        return np.broadcast_to(np.sin(2 * np.pi * time)[None, :, None, None], (1, count, 17, 3)).astype(
            np.float32
        )

    slow = resample(clip(poses=swing(61, 50.0)), rate)
    assert slow.fps == rate and slow.poses.shape[1] == frames
    np.testing.assert_allclose(slow.poses, swing(frames, rate), atol=2e-4)


def test_resample_keeps_what_it_can():
    same = clip()
    np.testing.assert_array_equal(resample(same, 50.0).poses, same.poses)
    halved = resample(clip(frames=7), 25.0)
    np.testing.assert_allclose(halved.poses, clip(frames=7).poses[:, ::2], atol=1e-6)
    single = resample(clip(frames=1), 30.0)
    assert single.fps == 30.0 and single.poses.shape == (1, 1, 17, 3)
    pair = resample(clip(frames=2), 100.0)
    np.testing.assert_allclose(pair.poses[:, 1], clip(frames=2).poses.mean(axis=1), atol=1e-6)
    with pytest.raises(ValueError, match=r"fps is -1\.0"):
        resample(clip(), -1.0)
