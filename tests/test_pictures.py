import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from scenes import WIDTH, crossing_scene, odd_scenes

from gated_lift.drawing.figures import COLORS, TRUTH_COLOR
from gated_lift.drawing.pictures import (
    draw_demo,
    draw_mask,
    draw_sequences,
    plot_keypoints,
    plot_mask,
    plot_paths,
    plot_pose,
)
from gated_lift.drawing.scene import Scene, hidden_stretch
from gated_lift.skeleton import H36M_17


def lines_of(axes, color):
    return [line for line in axes.lines if matplotlib.colors.same_color(line.get_color(), color)]


def finite_points(axes):
    points = np.concatenate([np.asarray(line.get_xydata(), dtype=float) for line in axes.lines])
    return points[np.isfinite(points).all(axis=-1)]


# Panels


@pytest.mark.parametrize("known", [True, False])
def test_keypoints_are_never_drawn_where_the_detector_guessed(known):
    scene = crossing_scene()
    places = scene.true_keypoints
    if not known:
        scene = scene._replace(true_keypoints=None)
    axes = Figure().add_subplot()
    plot_keypoints(axes, scene, 30)
    rings = [
        line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "white"
    ]
    drawn = {line.get_markeredgecolor(): line.get_xydata() for line in rings if len(line.get_xydata())}
    hidden = scene.occluded[1, 30]
    assert hidden.any()
    # The middle of a straight walk is interpolated to a few pixels; swinging feet and wrists are further off.
    error = np.linalg.norm(drawn[COLORS[1]] - places[1, 30, hidden], axis=-1)
    assert error.max() < (1e-6 if known else 60) and np.median(error) < 8
    assert finite_points(axes).min() >= 0 and finite_points(axes).max() <= WIDTH
    assert axes.yaxis_inverted() and axes.get_xlim() == (0, WIDTH)


def test_interpolated_places_are_linear_in_time():
    keypoints = np.full((1, 5, 17, 2), 100.0)
    keypoints[0, :, :, 0] = np.array([100, -7, -7, -7, 300])[:, None]
    occluded = np.zeros((1, 5, 17), dtype=bool)
    occluded[0, 1:4] = True
    scene = Scene(H36M_17, 25.0, keypoints, occluded, 640, 480, np.zeros((1, 5, 17, 3)))
    axes = Figure().add_subplot()
    plot_keypoints(axes, scene, 1)
    rings = next(line for line in axes.lines if line.get_markerfacecolor() == "white")
    np.testing.assert_allclose(rings.get_xydata(), np.tile([150.0, 100.0], (17, 1)), rtol=1e-6)


def test_mask_is_white_where_hidden():
    occluded = np.zeros((30, 17), dtype=bool)
    occluded[10:20, 3] = True
    axes = Figure().add_subplot()
    plot_mask(axes, occluded, H36M_17, fps=10.0, color=COLORS[0])
    image = np.asarray(axes.images[0].get_array())
    assert image.shape == (17, 30, 3)
    assert (image[3, 10:20] == 1).all()
    np.testing.assert_allclose(image[3, :10], np.tile(matplotlib.colors.to_rgb(COLORS[0]), (10, 1)))
    assert (image == 1).all(axis=-1).sum() == 10
    assert axes.get_xlim() == (0, 3.0) and axes.yaxis_inverted()
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["hip", "right hip"]


def test_pose_stands_upright_at_equal_scales():
    scene = crossing_scene()
    axes = Figure().add_subplot(projection="3d")
    plot_pose(axes, scene, 30)
    head, hip = scene.truth[0, 30, 10], scene.truth[0, 30, 0]
    grey = [np.stack(line.get_data_3d(), axis=-1) for line in lines_of(axes, TRUTH_COLOR)]
    ends = np.concatenate(grey)
    for joint in (head, hip):
        expected = [joint[0], joint[2], -joint[1]]
        assert np.abs(ends - expected).sum(-1).min() < 1e-12
    assert -head[1] > -hip[1]
    spans = [high - low for low, high in (axes.get_xlim(), axes.get_ylim(), axes.get_zlim())]
    np.testing.assert_allclose(np.asarray(axes._box_aspect) / spans, axes._box_aspect[0] / spans[0])


def test_paths_mark_only_the_hidden_stretch():
    scene = crossing_scene()
    axes = Figure().add_subplot()
    plot_paths(axes, scene, 30)
    bands = [line for line in axes.lines if line.get_linewidth() > 5 and line.get_marker() == "None"]
    assert len(bands) == 1
    start, stop = hidden_stretch(scene.occluded)
    expected = scene.predicted[1, start - 1 : stop + 1, 0][:, [0, 2]]
    np.testing.assert_allclose(bands[0].get_xydata(), expected)
    assert matplotlib.colors.same_color(bands[0].get_color(), COLORS[1])
    assert axes.get_aspect() == 1


def test_diverged_path_does_not_shrink_the_view():
    scene = crossing_scene()
    wild = scene.predicted.copy()
    wild[0] *= 1e6
    calm, shaken = Figure().add_subplot(), Figure().add_subplot()
    plot_paths(calm, scene)
    plot_paths(shaken, scene._replace(predicted=wild, rival=None))
    assert np.ptp(shaken.get_xlim()) < 4 * np.ptp(calm.get_xlim())


def test_failed_person_is_absent():
    scene = crossing_scene()
    predicted = scene.predicted.copy()
    predicted[1] = np.nan
    scene = scene._replace(predicted=predicted, rival=None)
    axes, solid = Figure().add_subplot(), Figure().add_subplot(projection="3d")
    plot_paths(axes, scene, 30)
    plot_pose(solid, scene, 30)
    assert not any(np.isfinite(line.get_xydata()).any() for line in lines_of(axes, COLORS[1]))
    assert any(np.isfinite(line.get_xydata()).any() for line in lines_of(axes, COLORS[0]))
    for line in lines_of(solid, COLORS[1]):
        assert not np.isfinite(np.stack(line.get_data_3d())).any()
    assert np.isfinite(axes.get_xlim()).all() and np.isfinite(solid.get_zlim()).all()


@pytest.mark.parametrize("frame", [-1, 60])
def test_frame_outside_the_scene(frame):
    scene, figure = crossing_scene(), Figure()
    for draw, axes in (
        (plot_keypoints, figure.add_subplot(131)),
        (plot_paths, figure.add_subplot(132)),
        (plot_pose, figure.add_subplot(133, projection="3d")),
    ):
        with pytest.raises(ValueError, match=f"frame is {frame}, but the scene has 60 frames"):
            draw(axes, scene, frame)


# Files


def ink(path):
    """The picture as grey values, checked to be 2080 pixels wide."""
    image = imread(path)
    assert image.shape[1] == 2080
    return image[..., :3].mean(axis=-1)


def test_demo_is_drawn_inside_its_edges(tmp_path):
    before = dict(matplotlib.rcParams)
    path = draw_demo(
        crossing_scene()._replace(
            rival_label="a rival with a very long name " * 4,
            screen=np.array([[[300, 300], [500, 300], [500, 600], [300, 600]]] * 60),
        ),
        tmp_path / "new" / "demo.png",
        title="PA-MPJPE 48.1 mm, " * 20 + "$",
        footnote="A licence sentence. " * 20,
    )
    assert path == tmp_path / "new" / "demo.png"
    image = ink(path)
    assert (image < 0.9).mean() > 0.03
    edge = np.concatenate(
        [image[:, :8].ravel(), image[:, -8:].ravel(), image[:8].ravel(), image[-8:].ravel()]
    )
    assert (edge == 1).all()
    assert dict(matplotlib.rcParams) == before


# The demo's parts in fractions of its width and height: left, right, bottom, top.
PARTS = {
    "image": (0.055, 0.985, 0.575, 0.865),
    "mask": (0.085, 0.375, 0.085, 0.465),
    "body": (0.385, 0.7, 0.08, 0.485),
    "paths": (0.75, 0.985, 0.085, 0.465),
}


def dots(picture, part, color):
    """How many pixels of a part of the demo have a colour."""
    height, width, _ = picture.shape
    left, right, bottom, top = PARTS[part]
    rows = slice(int(height * (1 - top)), int(height * (1 - bottom)))
    cut = picture[rows, int(width * left) : int(width * right), :3]
    return int((np.abs(cut - np.array(matplotlib.colors.to_rgb(color))) < 0.02).all(axis=-1).sum())


@pytest.mark.parametrize("name", odd_scenes())
def test_demo_of_odd_scenes(name, tmp_path):
    """Everybody is drawn in their colour wherever there is something of them, and nowhere else."""
    scene = odd_scenes()[name]
    path = draw_demo(scene, tmp_path / "demo.png", title=name)
    image = ink(path)
    assert 0.01 < (image < 0.9).mean() < 0.5
    picture = imread(path)
    predicted = np.asarray(scene.predicted)
    for person, color in enumerate(COLORS[:4]):
        there = person < len(predicted)
        # Of three people the third is the first again, and lies over them.
        covered = name == "three people" and person == 0
        seen = there and not scene.occluded[person].all()
        recovered = there and bool(np.isfinite(predicted[person]).all())
        least = {"image": 1000 * (seen and not covered), "mask": 10_000 * seen}
        least |= dict.fromkeys(("body", "paths"), recovered and not covered)
        least["body"] *= 1000
        for part, wanted in least.items():
            count = dots(picture, part, color)
            assert count >= wanted if wanted else count == 0, (part, person, count)
    # Axes and their grids hold a little grey of their own.
    assert (dots(picture, "body", TRUTH_COLOR) > 200) == (scene.truth is not None)
    moved = scene.truth is not None and predicted.shape[1] > 1
    assert (dots(picture, "paths", TRUTH_COLOR) > 200) == moved


def test_mask_files(tmp_path):
    scene = crossing_scene()
    one = imread(draw_mask(scene.occluded[1], tmp_path / "one.png"))
    two = imread(draw_mask(scene.occluded, tmp_path / "two.png", H36M_17, scene.fps))
    assert two.shape[0] > 1.5 * one.shape[0]
    # Without a colour the strip is black and white, as in the paper.
    assert (one[..., :3].mean(axis=-1) < 0.05).mean() > 0.3


@pytest.mark.parametrize(
    "occluded",
    [np.zeros((1, 2, 30, 17), bool), np.zeros((0, 17), bool), np.zeros((30, 16), bool)],
)
def test_bad_mask(occluded, tmp_path):
    with pytest.raises(ValueError, match="occluded has"):
        draw_mask(occluded, tmp_path / "mask.png", H36M_17)


def test_sequences_have_a_row_for_every_person_and_network(tmp_path):
    scene = crossing_scene()
    scenes = {"gated": scene, "plain": scene._replace(predicted=scene.predicted + 0.1)}
    few = imread(draw_sequences({"gated": scene}, [5, 30], ["before", "inside"], tmp_path / "few.png"))
    many = imread(draw_sequences(scenes, [5, 30], ["before", "inside"], tmp_path / "many.png"))
    assert many.shape[0] > 1.7 * few.shape[0] and many.shape[1] == few.shape[1]
    assert (many[..., :3].mean(axis=-1) < 0.9).mean() > 0.01
    with pytest.raises(ValueError, match="pass at least one scene and one frame, and a title for each"):
        draw_sequences(scenes, [5, 30], ["before"], tmp_path / "bad.png")
    with pytest.raises(ValueError, match="frame"):
        draw_sequences(scenes, [10**6], ["never"], tmp_path / "bad.png")
