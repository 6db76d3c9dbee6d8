"""One video from tracks or a file to people in one space: camera, size, times, who covers whom."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_pipeline import CAMERA, LIFTER, compilations, seen_from

from gated_lift import people as carriers
from gated_lift.cameras import camera_to_world, world_to_camera
from gated_lift.people import Detections, Tracks
from gated_lift.pipeline import LIFTED_SIZE_STD
from gated_lift.readers.cameras import FileCamera
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated
from gated_lift.video import lift as video
from gated_lift.video.camera import choose_camera
from gated_lift.video.covering import LONGEST_COVERED, covered_keypoints
from gated_lift.video.lift import lift_file, lift_tracks
from gated_lift.video.pieces import Recovered
from gated_lift.video.size import FRAME_STD, HEIGHT_STD, stature, with_size
from gated_lift.video.times import at_steady_rate, at_times, camera_at_times, steady_rate
from solvers import Camera, Extrinsics, project

FRAMES, FPS, SIZE = 60, 25.0, (1920, 1080)
KNOWN = np.hypot([HEIGHT_STD], FRAME_STD)


@pytest.fixture(scope="module")
def scene():
    """Joints of two people in camera axes, and their tracks."""
    pair = generated.circling_pair(FRAMES, FPS)
    _, still = seen_from([0.0, -5.0, 1.4], [0.0, 0.0, 0.95], pair.poses[0])
    joints = world_to_camera(jnp.asarray(pair.poses, jnp.float32), still)
    keypoints = np.array(project(jnp.asarray(joints), CAMERA))
    hidden = np.zeros(keypoints.shape[:-1], bool)
    hidden[0, 20:30, :9] = True
    tracks = Tracks(
        np.where(hidden[..., None], np.nan, keypoints).astype(np.float32),
        np.where(hidden, 0, 0.9).astype(np.float32),
        hidden,
        ("Ada", "Bo"),
        H36M_17,
    )
    return np.asarray(joints), tracks, still


def test_everybody_lying_is_noticed(scene):
    joints, _, _ = scene
    there = np.ones((2, FRAMES), bool)
    there[1, :30] = False

    def told(joints):
        nothing = np.zeros((2, FRAMES))
        joints = np.where(there[..., None, None], joints, np.nan)
        found = Recovered(joints, joints[:, :, 0], np.zeros(2, int), there, nothing, None)
        return video._all_lie(found, LIFTER)

    exchanged = joints[..., [1, 0, 2]]
    assert not told(joints) and told(exchanged)
    assert not told(np.stack([joints[0], exchanged[1]]))
    there[:] = False
    assert not told(joints)


# ------------------------------------------------------------------------------------------------- the camera


def test_the_camera_is_what_the_user_knows(caplog):
    assert choose_camera(SIZE, focal=1500.0) == Camera((1500.0, 1500.0), (960.0, 540.0))
    assert choose_camera(SIZE, fov=90.0).focal == pytest.approx((960.0, 960.0))
    assert choose_camera((1080, 1920), fov=90.0).focal == pytest.approx((960.0, 960.0))
    with caplog.at_level(logging.WARNING):
        assert choose_camera(SIZE).focal == (1920.0, 1920.0)
    assert "nothing says what the focal length is: 1920 px" in caplog.text
    half = FileCamera(Camera((800.0, 810.0), (480.0, 270.0), (0.1, 0.0, 0.0)), (960, 540))
    found = choose_camera(SIZE, known=half)
    assert found.focal == (1600.0, 1620.0) and found.center == (960.0, 540.0)
    assert found.radial == (0.1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"focal": 26.0}, r"focal is 26.0 for images of 1920 x 1080: give pixels"),
        ({"focal": float("nan")}, "focal is nan"),
        ({"fov": 180.0}, "fov is 180.0: give degrees between 1 and 170"),
        ({"fov": 60.0, "focal": 1500.0}, "focal and fov both say what the camera is"),
        ({"known": FileCamera(CAMERA, (1080, 1920))}, "camera is of images of 1080 x 1920, the keypoints of"),
    ],
)
def test_cameras_that_are_none(settings, message):
    with pytest.raises(ValueError, match=message):
        choose_camera(SIZE, **settings)


# ------------------------------------------------------------------------------------------------------ times


def test_rates_are_steady_up_to_rounding():
    even = np.arange(50) / 29.97
    assert steady_rate(np.round(even, 2)) == (pytest.approx(29.97, rel=2e-3), True)
    late = even.copy()
    late[25:] += 0.2
    rate, steady = steady_rate(late)
    assert not steady and rate == pytest.approx(29.97)
    for times in ([0.0], [0.0, 0.0], [0.0, -1.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="rise from frame to frame"):
            steady_rate(np.array(times))


def test_frames_of_a_varying_rate_are_brought_to_one_and_back(scene):
    _, tracks, _ = scene
    times = np.arange(FRAMES) / FPS
    times[40:] += 0.1
    moved, steady = at_steady_rate(tracks, times, FPS)
    assert len(steady) == moved.hidden.shape[1] == FRAMES + 3  # 2.5 frames more, the last one held
    np.testing.assert_allclose(moved.keypoints[:, :20], tracks.keypoints[:, :20], atol=1e-3)
    assert moved.hidden[0, 20:30, :9].all() and not moved.hidden[0, 31:].any()
    lifted = carriers.LiftedPeople(
        *(np.broadcast_to(steady[None, :, None, None], (2, len(steady), 17, 3)).astype(np.float32),),
        root=np.broadcast_to(steady[None, :, None], (2, len(steady), 3)).astype(np.float32),
        covariance=None,
        status=np.zeros(2, np.int32),
        present=np.ones((2, len(steady)), bool),
        residual=np.zeros((2, len(steady)), np.float32),
        keypoints=np.nan_to_num(moved.keypoints),
        confidence=moved.confidence,
        hidden=moved.hidden,
        names=tracks.names,
        skeleton=H36M_17,
        fps=FPS,
        times=steady,
        axes="camera",
        camera=CAMERA,
        extrinsics=None,
        image_size=SIZE,
        source="",
    )
    back = at_times(lifted, times)
    np.testing.assert_allclose(back.joints[0, :, 3, 1], times, atol=1e-5)
    assert back.hidden.shape == tracks.hidden.shape and back.times is times
    # A camera that turns and moves evenly is where it should be at all of these times.
    turn = Rotation.from_euler("z", 0.3 * times[:, None])
    path = Extrinsics(turn.as_matrix(), np.stack([times, 0 * times, 1 - times], axis=-1))
    moved = camera_at_times(path, times, steady[:-1])
    expected = Rotation.from_euler("z", 0.3 * steady[:-1, None]).as_matrix()
    np.testing.assert_allclose(moved.rotation, expected, atol=1e-9)
    np.testing.assert_allclose(moved.position[:, 0], steady[:-1], atol=1e-9)
    still = Extrinsics(path.rotation[:1], path.position[:1])
    assert camera_at_times(still, times, steady) is still and camera_at_times(None, times, steady) is None


# ------------------------------------------------------------------------------------------------------- lift


def behind_each_other(frames=40, after=1.0):
    """Joints of one who passes behind another, ``after`` metres farther away, and of one far aside."""
    stand = generated.stand(frames)
    joints, _ = seen_from([0.0, -4.0, 1.0], [0.0, 0.0, 1.0], stand)
    near = np.asarray(joints)[0]
    way = np.linspace(-1.5, 1.5, frames)[:, None] * np.array([1.0, 0.0, 0.0])
    behind = near + way[:, None] + np.array([0.0, 0.0, after])
    return np.stack([near, behind, near + np.array([4.0, 0.0, 0.0])]).astype(np.float32)


def covered_in(joints, keypoints, hidden=None):
    hidden = np.zeros(keypoints.shape[:-1], bool) if hidden is None else hidden
    return covered_keypoints(joints, keypoints, hidden, CAMERA, H36M_17, FPS)


@pytest.mark.parametrize("mirrored", [False, True])
def test_joints_that_are_put_on_who_stands_in_front_are_found(mirrored):
    joints = behind_each_other()
    keypoints = np.array(project(jnp.asarray(joints), CAMERA))
    clean = covered_in(joints, keypoints)
    assert not clean[0].any() and not clean[2].any(), "nobody is before these"
    assert not clean[1][np.linalg.norm(keypoints[1] - keypoints[0], axis=-1).min(axis=1) > 100].any()
    # All joints are on the other person, and the body seems to be where that person is.
    snapped, order = slice(15, 25), list(H36M_17.mirror) if mirrored else list(range(17))
    keypoints[1, snapped] = keypoints[0, snapped][:, order] + 3.0
    joints[1, snapped] = joints[0, snapped] - np.array([0.0, 0.0, 0.01], np.float32)
    covered = covered_in(joints, keypoints)
    assert covered[1, snapped].mean() > 0.95 and not covered[0].any() and not covered[2].any()
    # What is hidden anyway is not found, and whoever is not there covers nobody.
    hidden = np.zeros(covered.shape, bool)
    hidden[1, 20] = True
    assert not covered_in(joints, keypoints, hidden)[1, 20].any()
    joints[0] = np.nan
    assert not covered_in(joints, keypoints).any()
    assert not covered_in(joints[:1], keypoints[:1]).any()


def test_nobody_is_hidden_whole_for_seconds():
    frames = round(2 * LONGEST_COVERED * FPS)
    joints = behind_each_other(frames)
    keypoints = np.array(project(jnp.asarray(joints), CAMERA))
    keypoints[1, 2:] = keypoints[0, 2:]
    assert covered_in(joints, keypoints)[1].mean() == 0
    short = frames // 2 - 4
    assert covered_in(joints[:, :short], keypoints[:, :short])[1, 2:].all()


def test_tracks_become_people_and_a_height_scales_all_of_a_person(scene):
    _, tracks, _ = scene
    found = lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, source="clip", covering_rounds=0)
    assert found.joints.shape == (2, FRAMES, 17, 3) and found.names == ("Ada", "Bo")
    assert found.axes == "camera" and found.source == "clip" and found.covariance.shape == (2, FRAMES, 3, 3)
    np.testing.assert_array_equal(found.hidden, tracks.hidden)
    np.testing.assert_allclose(found.times, np.arange(FRAMES) / FPS)
    tall = stature(found.joints, H36M_17)
    heights = {"Bo": 1.1 * float(tall[1])}
    scaled = lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, heights=heights, covering_rounds=0)
    np.testing.assert_array_equal(scaled.joints[0], found.joints[0])
    np.testing.assert_allclose(scaled.joints[1], 1.1 * found.joints[1], rtol=1e-4)
    np.testing.assert_allclose(found.size, [1, 1], rtol=1e-5)
    np.testing.assert_allclose(scaled.size, [1, 1.1], rtol=1e-6)
    np.testing.assert_allclose(scaled.size_std[1], HEIGHT_STD, rtol=1e-3)
    # Whose height is known stands surer, above all along the ray.
    np.testing.assert_allclose(scaled.covariance[0], found.covariance[0], rtol=1e-3, atol=1e-6)
    known = with_size(found.covariance[1:], found.root[1:], scaled.size[1:], LIFTED_SIZE_STD, KNOWN)
    np.testing.assert_allclose(scaled.covariance[1:], known, rtol=1e-2, atol=1e-5)
    with pytest.raises(ValueError, match="camera_height is nan: give metres above the floor"):
        lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, camera_height=float("nan"))
    with pytest.raises(ValueError, match="tracks have 0 people"):
        lift_tracks(tracks._replace(hidden=tracks.hidden[:0]), CAMERA, FPS, SIZE, LIFTER)


def test_in_the_world_people_grow_about_the_camera_and_other_lengths_compile_nothing(scene):
    _, tracks, still = scene
    path = Extrinsics(*(np.repeat(np.asarray(each), FRAMES, axis=0) for each in still))
    plain = lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER)
    heights = {"": 1.1 * float(stature(plain.joints, H36M_17)[0])}
    before = lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, heights=heights)
    world = lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, path, heights)
    assert world.axes == "world"
    np.testing.assert_allclose(world.joints, camera_to_world(jnp.asarray(before.joints), still), atol=2e-3)
    shorter = tracks._replace(
        **{name: getattr(tracks, name)[:, :-7] for name in ("keypoints", "confidence", "hidden")}
    )
    with compilations() as compiled:
        assert lift_tracks(shorter, CAMERA, FPS, SIZE, LIFTER).joints.shape[1] == FRAMES - 7
        lift_tracks(shorter, CAMERA, FPS, SIZE, LIFTER, Extrinsics(*(each[:-7] for each in path)), heights)
    assert not compiled


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"roll": 5.0}, r"roll is 5.0, and nothing says the tilt: give both"),
        (
            {"tilt": 95.0},
            r"tilt is 95.0: give degrees between -80 and 80, positive for a camera that looks down",
        ),
        ({"tilt": float("nan")}, "tilt is nan: give degrees"),
        ({"tilt": 10.0, "roll": 400.0}, "roll is 400.0: give degrees between -180 and 180"),
        (
            {"tilt": 10.0, "camera_path": "path.txt"},
            "tilt and camera_path both say which way the camera looks",
        ),
        ({"camera_height": 1.5, "camera_path": "path.txt"}, "camera_height and camera_path both say where"),
    ],
)
def test_what_is_told_of_the_camera_is_looked_at_first(settings, message):
    with pytest.raises(ValueError, match=message):
        lift_file("nothing.npz", **settings)


def test_the_vertical_that_is_told_reaches_network_and_floor(scene, monkeypatch):
    joints, tracks, _ = scene
    asked = {}

    def recovered(*given, up, **more):
        asked["up"] = up
        root = joints[:, :, 0]
        nobody = np.zeros((2, FRAMES))
        return Recovered(joints, root, np.zeros(2, np.int32), nobody == 0, nobody, None)

    monkeypatch.setattr(video, "recover_in_pieces", recovered)
    up = video.told_vertical(5.14, 0.0, False)
    told = {"up": up, "covering_rounds": 0}
    found = lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, camera_height=1.7, **told)
    np.testing.assert_array_equal(asked["up"], up)
    # It is 1.4 m above this floor, or the tilt is wrong, or they are larger than they seem.
    assert np.all((found.size > 1.01) & (found.size < 1.7 / 1.4))
    np.testing.assert_allclose(found.joints, found.size[:, None, None, None] * joints, rtol=1e-5)
    assert np.all(lift_tracks(tracks, CAMERA, FPS, SIZE, LIFTER, floor=False, **told).size == 1)


def write_keypoints(path, tracks, **more):
    keypoints = np.moveaxis(tracks.keypoints, 0, 1)
    np.savez(
        path, keypoints=keypoints, confidence=np.moveaxis(tracks.confidence, 0, 1), skeleton="h36m_17", **more
    )
    return path


def test_a_file_becomes_people_turned_upright(scene, tmp_path):
    _, tracks, _ = scene
    upright = write_keypoints(tmp_path / "upright.npz", tracks, fps=FPS, image_size=SIZE)
    settings = {"focal": 1145.0, "lifter": LIFTER, "tracker": "online", "people": 2}
    found = lift_file(upright, **settings)
    assert found.joints.shape == (2, FRAMES, 17, 3) and found.image_size == SIZE
    assert sorted(found.names) == ["person 1", "person 2"]
    # Filmed with the camera on its side: turning the images clockwise brings people upright.
    x, y = np.moveaxis(tracks.keypoints, -1, 0)
    lying = tracks._replace(keypoints=np.stack([y, 1920 - x], axis=-1))
    file = write_keypoints(tmp_path / "lying.npz", lying, fps=FPS, image_size=(1080, 1920))
    turned = lift_file(file, rotate=90, **settings)
    assert turned.image_size == SIZE and turned.rotate == 90 and found.rotate == 0
    np.testing.assert_allclose(turned.joints, found.joints, atol=1e-3)


@pytest.mark.parametrize(
    ("written", "settings", "message"),
    [
        ({"fps": FPS}, {}, "does not say how large the images are: give image_size"),
        ({"image_size": SIZE}, {}, "does not say how many frames a second there are: give fps"),
        ({"fps": FPS, "image_size": SIZE}, {"rotate": 45}, "rotate is 45: choose from 0, 90, 180, 270"),
    ],
)
def test_what_the_file_does_not_say_is_asked_for(scene, tmp_path, written, settings, message):
    file = write_keypoints(tmp_path / "keypoints.npz", scene[1], **written)
    with pytest.raises(ValueError, match=message):
        lift_file(file, **settings)


def test_all_turns_of_an_image_keep_its_corners():
    corner = np.array([[[0.0, 0.0], [1920.0, 1080.0]]], np.float32)
    trust = np.ones((1, 2), np.float32)
    found = Detections(np.array([0]), corner, trust, None, H36M_17, 1, FPS, None, SIZE, "npz", "file")
    for degrees, first, size in (
        (0, (0, 0), (1920, 1080)),
        (90, (1080, 0), (1080, 1920)),
        (180, (1920, 1080), (1920, 1080)),
        (270, (0, 1920), (1080, 1920)),
    ):
        turned = video._turned(found, degrees)
        np.testing.assert_array_equal(turned.keypoints[0, 0], first)
        assert turned.image_size == size
