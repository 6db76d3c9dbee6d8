"""Rendered detections in each format: where the face goes, what a format shows, who is judged."""

import re

import numpy as np
import pytest

from experiments.judging.rendered_formats import (
    HEAD,
    SEEN,
    Case,
    RenderedFormats,
    cases,
    in_format,
    read_people,
    row,
    with_face,
)
from gated_lift.readers.captures import write_captures
from gated_lift.skeleton import BODY_25B, COCO_133, H36M_17, HALPE_26, MEDIAPIPE_33, SKELETONS
from gated_lift.synthetic.generated import crossing_pair, stand

POSES = stand(3)


def test_the_face_looks_ahead_and_turns_with_the_body():
    face = {name: with_face(POSES)[0, SEEN.names.index(name)] for name in SEEN.names}
    # Somebody who faces +x has the left on +y.
    for name, (ahead, aside, above) in HEAD.items():
        np.testing.assert_allclose(face[name] - face["head"], [ahead, aside, above], atol=0.03)
    assert face["nose"][0] > face["left_ear"][0] and face["left_ear"][1] > face["right_ear"][1]
    turned = with_face(stand(3, heading=2.0))
    quarter = np.array([[np.cos(2.0), np.sin(2.0), 0], [-np.sin(2.0), np.cos(2.0), 0], [0, 0, 1]])
    np.testing.assert_allclose(turned, with_face(POSES) @ quarter, atol=1e-5)
    assert [SEEN.names[joint].replace("left", "right") for joint in SEEN.left] == [
        SEEN.names[joint] for joint in SEEN.right
    ]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_formats_show_their_own_joints(skeleton):
    values = np.arange(2.0 * len(SEEN.names)).reshape(1, -1, 2) + 1
    shown, hidden = in_format(values, np.zeros(values.shape[:-1], bool), skeleton)
    assert shown.shape == (1, skeleton.num_joints, 2)
    for joint, name in enumerate(skeleton.names):
        source = "top_of_head" if name == "head" and skeleton != H36M_17 else name
        assert hidden[0, joint] == (source not in SEEN.names)
        if source in SEEN.names:
            np.testing.assert_array_equal(shown[0, joint], values[0, SEEN.names.index(source)])


def test_formats_that_give_the_same_joints_are_lifted_once():
    keypoints = np.random.default_rng(0).normal(size=(1, 2, SEEN.num_joints, 2)).astype(np.float32)
    found = {
        name: case for case in cases(keypoints, np.zeros(keypoints.shape[:-1], bool)) for name in case.formats
    }
    assert set(found) == set(SKELETONS)
    assert found[COCO_133.name] is found[MEDIAPIPE_33.name] is not found[BODY_25B.name]
    assert set(found[H36M_17.name].given) == {"midpoint"}
    np.testing.assert_array_equal(found[H36M_17.name].given["midpoint"][0], keypoints[..., :17, :])
    for name, lacks in ((HALPE_26.name, {"spine", "neck"}), (BODY_25B.name, {"spine"})):
        for missing, absent in (("midpoint", set()), ("hidden", lacks)):
            _, hidden = found[name].given[missing]
            assert {H36M_17.names[joint] for joint in np.flatnonzero(hidden.any((0, 1)))} == absent


def test_people_whom_the_weights_saw_are_left_out(tmp_path):
    both = crossing_pair(frames=260)
    people = [both._replace(poses=both.poses[[k]], subject=name, name=name) for k, name in enumerate("ab")]
    data = write_captures(tmp_path / "all.npz", people)
    seen = write_captures(tmp_path / "seen.npz", people[:1])
    assert read_people(RenderedFormats((data,))).poses.shape == (2, 201, 17, 3)
    assert read_people(RenderedFormats((data,), people=1)).poses.shape == (1, 201, 17, 3)
    left = read_people(RenderedFormats((data,), (seen,)))
    assert left.poses.shape == (1, 201, 17, 3) and left.subject == "b"
    with pytest.raises(ValueError, match=re.escape(f"data {data} has nobody for 4 seconds")):
        read_people(RenderedFormats((data,), (data,)))
    with pytest.raises(ValueError, match=r"hidden is \(1.5,\)"):
        read_people(RenderedFormats((data,), hidden=(1.5,)))


def test_a_row_compares_person_by_person():
    case = Case(("coco_17", "coco_18"), {})
    midpoint = np.array([[40.0, 60.0], [100.0, 300.0]])
    hidden = np.array([[44.0, 68.0], [90.0, 300.0]])
    assert row("plain", 0.5, case, {"midpoint": midpoint}) == [
        *("plain", "coco_17, coco_18", "50"),
        *("50", "", "", "200", "", ""),
    ]
    cells = row("plain", 0.5, case, {"midpoint": midpoint, "hidden": hidden})
    assert cells[3:] == ["50", "56", "+6.0 ± 2.0", "200", "195", "-5.0 ± 5.0"]
