import numpy as np
import pytest
from lifted import crossing

from gated_lift.drawing.report import report_page
from gated_lift.drawing.shown import prepare_people, thinning
from solvers import Camera


def test_both_axes_stand_upright_and_show_the_same_scene():
    """Heads are above feet, the camera looks at the people, and lengths are the same in both."""
    for axes in ("camera", "world"):
        shown = prepare_people(crossing(axes=axes))
        head, foot = shown.joints[0, :, 10], shown.joints[0, :, 3]
        assert (head[:, 2] - foot[:, 2] > 1.2).all()
        to_people = np.nanmean(shown.root, axis=(0, 1)) - shown.eye[0]
        forward = shown.rays[0].mean(axis=0)
        assert to_people @ forward / np.linalg.norm(to_people) / np.linalg.norm(forward) > 0.95
        # The upper corners of the picture are above the lower ones, the right ones right of the left.
        assert (shown.rays[0, :2, 2] > shown.rays[0, 2:, 2]).all()
        assert shown.rays[0, 1, 0] > shown.rays[0, 0, 0]
        assert abs(shown.floor - np.nanmin(shown.joints[..., 2])) < 0.15
        spread = shown.covariance[0, 0]
        np.testing.assert_allclose(np.linalg.eigvalsh(spread)[-1], spread[1, 1])  # along the line of sight


@pytest.mark.parametrize("axes", ["camera", "world"])
def test_lifted_joints_fall_on_their_keypoints(axes):
    people = crossing(axes=axes, moving=axes == "world")
    shown = prepare_people(people)
    off = (shown.projected - people.keypoints)[~people.hidden]
    assert np.abs(off).max() < 12  # the noise of 2 px that keypoints have
    # Hidden joints have a place where their person is present, and only there.
    np.testing.assert_array_equal(np.isfinite(shown.projected).all((-1, -2)), people.present)


def test_what_is_behind_the_camera_has_no_place_on_the_picture():
    people = crossing(10)
    joints = people.joints.copy()
    joints[0, 3, :, 2] = -2.0
    shown = prepare_people(people._replace(joints=joints))
    assert np.isnan(shown.projected[0, 3]).all() and np.isfinite(shown.projected[0, 4]).all()


def test_a_path_gone_astray_does_not_shrink_the_view():
    people = crossing()
    calm = prepare_people(people)
    joints, root = people.joints.copy(), people.root.copy()
    joints[0, 7], root[0, 7] = joints[0, 7] * 1e4, root[0, 7] * 1e4
    wild = prepare_people(people._replace(joints=joints, root=root))
    assert (
        np.ptp(np.stack([wild.low, wild.high]), axis=0).max()
        < 1.3 * np.ptp([calm.low, calm.high], axis=0).max()
    )
    report_page(people._replace(joints=joints, root=root))


@pytest.mark.parametrize(
    ("fps", "wanted", "step"),
    [(25.0, 60.0, 1), (60.01, 60.0, 1), (59.94, 30.0, 2), (100.0, 60.0, 2), (240.0, 60.0, 4)],
)
def test_thinning_takes_the_nearest_rate(fps, wanted, step):
    assert thinning(fps, wanted) == step


@pytest.mark.parametrize("per", ["person", "person and frame"])
def test_cameras_of_their_own(per):
    """Focal lengths for everybody, or for everybody and every frame, as the solver takes them."""
    people = crossing(6)
    shape = (2, 2) if per == "person" else (2, 6, 2)
    focal = np.full(shape, 1145.0)
    if per != "person":
        focal[:, 3:] *= 2  # the camera zooms in
    shown = prepare_people(people._replace(camera=Camera(focal, np.broadcast_to([960.0, 540.0], shape))))
    plain = prepare_people(people)
    np.testing.assert_allclose(shown.projected[:, :3], plain.projected[:, :3], rtol=1e-5)
    assert len(shown.rays) == (1 if per == "person" else 6)
    if per != "person":
        np.testing.assert_allclose(np.ptp(shown.rays[5, :, 0]), np.ptp(shown.rays[0, :, 0]) / 2)
