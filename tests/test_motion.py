"""Which reader a file gets."""

from pathlib import Path

import pytest

from gated_lift.readers import motion
from gated_lift.synthetic import generated

CLIP = generated.crossing_pair(frames=4, fps=50.0, seed=0)


def test_the_longest_ending_decides_and_order_is_kept(monkeypatch):
    def reader(name):
        return lambda path: (CLIP._replace(name=f"{name} of {path.name}"),)

    # Whatever the case, as some programs write it.
    readers = {".npz": reader("any"), "_special.npz": reader("special"), ".txt": reader("text")}
    monkeypatch.setattr(motion, "READERS", readers)
    found = motion.read_clips(map(Path, ("b.txt", "a_special.npz", "a.NPZ")))
    assert [clip.name for clip in found] == ["text of b.txt", "special of a_special.npz", "any of a.NPZ"]
    assert motion.read_clips(()) == ()


def test_files_of_no_known_form_and_clips_that_break_their_promise_are_refused(monkeypatch):
    with pytest.raises(
        ValueError, match=r"data a/b.fbx is in no form .*: give files that end in .npz, .bvh, .c3d, or"
    ):
        motion.read_clips([Path("a/b.fbx")])
    monkeypatch.setitem(motion.READERS, ".npz", lambda path: (CLIP._replace(poses=CLIP.poses[:, :, :3]),))
    with pytest.raises(ValueError, match=r"have 3 joints, h36m_17 has 17"):
        motion.read_clips([Path("a.npz")])
