import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from gated_lift.pictures import (
    COLORS,
    TRUTH_COLOR,
    ErrorRow,
    Scene,
    draw_curves,
    draw_demo,
    draw_error_by_ratio,
    draw_mask,
    hidden_stretch,
    mostly_hidden,
    plot_curves,
    plot_error_by_ratio,
    plot_keypoints,
    plot_mask,
    plot_paths,
    plot_pose,
    prepare_scene,
)
from gated_lift.skeleton import COCO_17, H36M_17

WIDTH, HEIGHT, FOCAL = 1920, 1080, 1145.0

# A standing H36M-17 figure, metres from the hip, camera axes: the head is up, at negative y.
STANDING = np.array(
    [
        *[(0, 0), (-0.13, 0), (-0.13, 0.45), (-0.13, 0.88), (0.13, 0), (0.13, 0.45), (0.13, 0.88)],
        *[(0, -0.24), (0, -0.5), (0, -0.6), (0, -0.72), (0.16, -0.45), (0.2, -0.18), (0.22, 0.07)],
        *[(-0.16, -0.45), (-0.2, -0.18), (-0.22, 0.07)],
    ]
)


def crossing_scene(frames: int = 60, fps: float = 50.0) -> Scene:
    """Person 1 walks in front of person 2, who is hidden around the middle; hidden keypoints are garbage."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, frames)
    truth = np.zeros((2, frames, 17, 3))
    for person, (sign, depth) in enumerate(((1, 3.6), (-1, 5.0))):
        root = np.stack([sign * (2.4 * t - 1.2), np.full(frames, 0.1), depth + 0.3 * np.sin(3 * t)], axis=-1)
        truth[person] = root[:, None] + np.concatenate([STANDING, np.zeros((17, 1))], axis=-1)
        swing = 0.3 * np.sin(2 * np.pi * t * frames / fps)
        truth[person, :, [3, 13], 0] += swing
        truth[person, :, [6, 16], 0] -= swing
    places = FOCAL * truth[..., :2] / truth[..., 2:] + np.array([WIDTH, HEIGHT]) / 2
    occluded = np.zeros((2, frames, 17), dtype=bool)
    occluded[1] = np.abs(places[1, ..., 0] - places[0, :, :1, 0]) < 100
    occluded[0, frames // 4 : frames // 2, 13] = True
    keypoints = places + rng.normal(0, 2, places.shape)
    keypoints[occluded] = rng.choice([np.nan, np.inf, -1e6, 5e3], size=(int(occluded.sum()), 2))
    drift = np.cumsum(rng.normal(0, 0.004, (2, frames, 1, 3)), axis=1)
    return Scene(
        skeleton=H36M_17,
        fps=fps,
        keypoints=keypoints,
        occluded=occluded,
        width=WIDTH,
        height=HEIGHT,
        predicted=truth + drift,
        truth=truth,
        rival=truth + 3 * drift,
        rival_label="plain convolution",
        true_keypoints=places,
    )


def lines_of(axes, color):
    return [line for line in axes.lines if matplotlib.colors.same_color(line.get_color(), color)]


def finite_points(axes):
    points = np.concatenate([np.asarray(line.get_xydata(), dtype=float) for line in axes.lines])
    return points[np.isfinite(points).all(axis=-1)]


# The scene


def test_prepared_scene_holds_no_hidden_or_non_finite_keypoint():
    scene = crossing_scene()
    keypoints = scene.keypoints.copy()
    keypoints[0, 0, 0] = [np.inf, 3.0]
    prepared = prepare_scene(scene._replace(keypoints=jnp.asarray(keypoints)))
    assert np.isnan(prepared.keypoints[scene.occluded]).all()
    assert np.isnan(prepared.keypoints[0, 0, 0]).all()
    seen = ~scene.occluded
    seen[0, 0, 0] = False
    np.testing.assert_allclose(prepared.keypoints[seen], keypoints[seen], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keypoints": np.zeros((2, 60, 16, 2))}, "keypoints has shape"),
        ({"predicted": np.zeros((2, 59, 17, 3))}, "predicted has shape"),
        ({"predicted": None}, "predicted is None"),
        ({"truth": np.zeros((2, 60, 17, 2))}, "truth has shape"),
        ({"rival": np.zeros((1, 60, 17, 3))}, "rival has shape"),
        ({"true_keypoints": np.zeros((2, 60, 17, 3))}, "true_keypoints has shape"),
        ({"occluded": np.zeros((2, 60, 17))}, "pass booleans"),
        ({"occluded": np.zeros((60, 17), bool)}, "pass booleans"),
        ({"occluded": np.zeros((0, 60, 17), bool)}, "at least one person"),
        ({"occluded": np.zeros((2, 0, 17), bool)}, "at least one person"),
        ({"occluded": np.zeros((2, 60, 25), bool)}, "but h36m_17 has 17"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"width": 0}, "width is 0"),
        ({"height": -1}, "height is -1"),
    ],
)
def test_bad_scene_is_named(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_demo(crossing_scene()._replace(**change), tmp_path / "demo.png")
    assert not (tmp_path / "demo.png").exists()


def test_hidden_stretch_is_the_longest():
    occluded = np.zeros((2, 40, 17), dtype=bool)
    occluded[0, 5:9] = True
    occluded[1, 20:31, :13] = True  # 13 of 17 joints: mostly hidden
    occluded[1, 33:40, :12] = True  # 12 of 17 are fewer than 75 %
    assert hidden_stretch(occluded) == (20, 31)
    assert mostly_hidden(occluded).sum() == 4 + 11


def test_hidden_stretch_falls_back():
    occluded = np.zeros((1, 9, 4), dtype=bool)
    assert hidden_stretch(occluded) == (4, 5)  # nothing hidden: the middle
    occluded[0, 7, 0] = True
    assert hidden_stretch(occluded) == (7, 8)  # the frame with the most hidden joints
    assert hidden_stretch(np.ones((1, 9, 4), dtype=bool)) == (0, 9)


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
        crossing_scene()._replace(rival_label="a rival with a very long name " * 4),
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


def odd_scenes():
    scene = crossing_scene()
    hidden = np.ones_like(scene.occluded)
    lost = np.full_like(scene.predicted, np.nan)
    three = {
        name: np.concatenate([getattr(scene, name)] * 2)[:3]
        for name in ("keypoints", "occluded", "predicted", "truth", "rival", "true_keypoints")
    }
    bare = {"truth": None, "rival": None, "true_keypoints": None}
    first = {name: value[:1] for name, value in three.items()}
    short = {name: value[:2, :1] for name, value in three.items()}
    return {
        "bare": scene._replace(**bare),
        "jax": scene._replace(keypoints=jnp.asarray(scene.keypoints), predicted=jnp.asarray(scene.predicted)),
        "all hidden": scene._replace(occluded=hidden, **bare),
        "nothing hidden": scene._replace(occluded=~hidden),
        "nothing recovered": scene._replace(predicted=lost, **bare),
        "one person": scene._replace(**first),
        "three people": scene._replace(**three),
        "one frame": scene._replace(**short),
        "coco": scene._replace(skeleton=COCO_17),
    }


@pytest.mark.parametrize("name", odd_scenes())
def test_demo_of_odd_scenes(name, tmp_path):
    image = ink(draw_demo(odd_scenes()[name], tmp_path / "demo.png", title=name))
    assert 0.01 < (image < 0.9).mean() < 0.5


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


def test_curves_leave_gaps(tmp_path):
    steps = np.arange(5)
    history = {
        "training": (steps, [5.0, 4.0, np.nan, np.inf, 1.0]),
        "validation": (jnp.arange(2), jnp.ones(2)),
    }
    axes = Figure().add_subplot()
    plot_curves(axes, history)
    assert [line.get_label() for line in axes.lines] == ["training", "validation"]
    np.testing.assert_array_equal(np.isnan(axes.lines[0].get_ydata()), [0, 0, 1, 1, 0])
    path = draw_curves(history, tmp_path / "curves.png", "step", "loss", log=True)
    assert (imread(path)[..., :3].mean(axis=-1) < 0.9).mean() > 0.003


@pytest.mark.parametrize(
    ("history", "words"),
    [({}, "history is empty"), ({"loss": (np.zeros(3), np.zeros(4))}, "history\\['loss'\\] has shapes")],
)
def test_bad_curves(history, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_curves(history, tmp_path / "curves.png", "step", "loss")


def rows():
    return [
        ErrorRow(network, kernel, ratio, error)
        for kernel in (25, 75)
        for ratio in (0.5, 0.0)
        for network, error in (("gated", 70 + 60 * ratio), ("plain", 80 + 100 * ratio))
    ]


def test_error_lines_run_by_ratio_and_keep_their_colour():
    figure = Figure()
    both, alone = figure.subplots(1, 2)
    plot_error_by_ratio(both, [row for row in rows() if row.kernel_frames == 25], ["gated", "plain"])
    plain = [row for row in rows() if row.network == "plain" and row.kernel_frames == 75]
    plot_error_by_ratio(alone, [*plain, ErrorRow("plain", 75, 1.0, np.nan)], ["gated", "plain"])
    np.testing.assert_allclose(both.lines[0].get_xydata(), [[0, 70], [50, 100]])
    np.testing.assert_allclose(alone.lines[1].get_xydata(), [[0, 80], [50, 130]])
    assert alone.lines[1].get_color() == both.lines[1].get_color() != both.lines[0].get_color()


def test_error_file_has_a_panel_per_kernel(tmp_path):
    path = draw_error_by_ratio(rows(), tmp_path / "ratio.png", "PA-MPJPE")
    dark = imread(path)[..., :3].mean(axis=-1) < 0.3
    # The left spine of each panel is a long dark column.
    spines = np.flatnonzero(dark.mean(axis=0) > 0.5)
    assert (np.diff(spines) > 20).sum() + 1 == 2


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "rows is empty"),
        ([*rows(), rows()[0]], "more than once"),
        ([ErrorRow("gated", 25, 50.0, 70.0)], "not per cent"),
    ],
)
def test_bad_rows(bad, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_error_by_ratio(bad, tmp_path / "ratio.png")


def test_network_without_a_place_in_the_legend():
    with pytest.raises(ValueError, match="plain"):
        plot_error_by_ratio(Figure().add_subplot(), rows()[:2], ["gated"])
