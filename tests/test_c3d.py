"""People from C3D files: joints by their labels, gaps, units and axes, and what is refused."""

import logging

import numpy as np
import pytest
from exported import lifted_people

from experiments.fuzzing import samples
from gated_lift.exports import export
from gated_lift.exports.markers import marker_names
from gated_lift.readers.c3d import read_c3d
from gated_lift.readers.motion import read_clips
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated

LABELS = marker_names(H36M_17)
WALK = generated.walk(40, fps=100.0).astype(np.float64)
PLUG_IN_GAIT = (
    *("LFHD", "RFHD", "LBHD", "RBHD", "C7", "T10", "CLAV", "STRN", "RBAK"),
    *(f"{side}{name}" for side in "LR" for name in ("SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN", "ASI")),
    *(f"{side}{name}" for side in "LR" for name in ("PSI", "THI", "KNE", "TIB", "ANK", "HEE", "TOE")),
)


def write(folder, points=WALK, labels=LABELS, **changes):
    return samples.c3d(folder / "take 3.c3d", 1000 * points, labels, **{"fps": 100.0} | changes)


@pytest.mark.parametrize("up", ["y", "z"])
def test_own_files_come_back_with_everybody(tmp_path, up):
    pytest.importorskip("ezc3d", reason="ezc3d is in the extra exports")
    people = lifted_people(30)
    path = export(people, tmp_path / "clip.c3d", up=up)
    (clip,) = read_clips(path)
    # Person 0 is away for five frames, which is half a gap's longest; person 1 at both ends.
    shown = people.present[1]
    np.testing.assert_allclose(clip.poses[1], people.joints[1, shown], atol=1e-4)
    whole = lifted_people(30, gap=False).joints[0, shown]
    np.testing.assert_allclose(clip.poses[0], whole, atol=0.01)
    there = people.present[0, shown]
    np.testing.assert_allclose(clip.poses[0, there], whole[there], atol=1e-4)
    assert (clip.subject, clip.name, clip.fps, clip.split) == ("anna+bob_2", "clip", 50, "train")
    assert abs(clip.floor_z) < 0.03


def test_short_gaps_are_filled_and_files_are_cut_at_long_ones(tmp_path):
    missing = np.zeros(WALK.shape[:2], bool)
    missing[3:8, 5] = missing[20:41, 13] = missing[0, 2] = True
    found = read_c3d(write(tmp_path, missing=missing, fps=50.0))
    assert [(clip.name, clip.subject, clip.poses.shape[1]) for clip in found] == [("take 3", "take 3", 19)]
    np.testing.assert_allclose(found[0].poses[0], WALK[1:20], atol=5e-3)
    missing[39, 13] = False
    missing[32:36, 13] = False
    (first, second) = read_c3d(write(tmp_path, missing=missing, fps=50.0))
    assert [(clip.name, clip.poses.shape[1]) for clip in (first, second)] == [
        ("take 3_1", 19),
        ("take 3_32", 8),
    ]
    missing[:, 4] = True
    with pytest.raises(ValueError, match=r"take 3\.c3d: on no 2 frames running has everybody all joints"):
        read_c3d(write(tmp_path, missing=missing, fps=50.0))


def test_units_and_axes_are_the_files_or_the_persons(tmp_path, caplog):
    metres = samples.c3d(tmp_path / "a.c3d", WALK, LABELS, 100.0, "m")
    wrong = samples.c3d(tmp_path / "b.c3d", 100 * WALK[..., [0, 2, 1]] * (1, 1, -1), LABELS, 100.0, "mm", "?")
    with caplog.at_level(logging.INFO, "gated_lift"):
        found = [read_c3d(path)[0] for path in (metres, wrong)]
    for clip in found:
        np.testing.assert_allclose(clip.poses[0], WALK, atol=1e-5)
    assert "a.c3d: 1 people, 40 frames in 1 clips at 100 frames/s, unit: metres, up: z" in caplog.text
    assert "b.c3d: its unit is 'mm', and people are taken to be in centimetres" in caplog.text
    (lying,) = read_c3d(metres, up="y", unit=0.9)
    np.testing.assert_allclose(lying.poses[0, ..., 2], 0.9 * WALK[..., 1], atol=1e-5)


def test_labels_may_be_a_rigs_and_joints_between_may_lack(tmp_path):
    rig = {
        "Hip": "Pelvis",
        "SkullBase": "Head",
        "Head": "HeadTop_End",
        "LHip": "LeftUpLeg",
        "LKnee": "LeftLeg",
    }
    labels = [rig.get(label, label) for label in LABELS]
    (clip,) = read_c3d(write(tmp_path, labels=[f"S1:{label}" for label in labels]))
    np.testing.assert_allclose(clip.poses[0], WALK, atol=1e-5)
    assert clip.subject == "take 3"
    kept = [at for at, name in enumerate(H36M_17.names) if name not in ("hip", "spine", "thorax")]
    (clip,) = read_c3d(write(tmp_path, WALK[:, kept], [LABELS[at] for at in kept]))
    where = H36M_17.names.index
    np.testing.assert_allclose(clip.poses[0][:, kept], WALK[:, kept], atol=1e-5)
    shoulders = WALK[:, [where("left_shoulder"), where("right_shoulder")]].mean(axis=1)
    np.testing.assert_allclose(clip.poses[0, :, where("thorax")], shoulders, atol=1e-5)
    hips = WALK[:, [where("left_hip"), where("right_hip")]].mean(axis=1)
    np.testing.assert_allclose(clip.poses[0, :, where("spine")], (hips + shoulders) / 2, atol=1e-5)


def test_markers_on_the_skin_and_joints_that_lack_are_named(tmp_path):
    points = np.repeat(WALK[:, :1], len(PLUG_IN_GAIT), axis=1)
    with pytest.raises(
        ValueError, match=r"C7, T10, CLAV, STRN, .* are markers on the skin, and joints are"
    ) as caught:
        read_c3d(write(tmp_path, points, PLUG_IN_GAIT))
    assert "\n" not in str(caught.value)
    with pytest.raises(
        ValueError, match=r"no point is known to be left_wrist, among Hip, RHip, .*: name them LHip"
    ):
        read_c3d(write(tmp_path, labels=["Prop" if label == "LWrist" else label for label in LABELS]))
    with pytest.raises(ValueError, match=r"take 3\.c3d: its skeleton is .* units tall"):
        read_c3d(write(tmp_path, 5 * WALK))
