import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs
from scenes import crossing_scene, odd_scenes

from gated_lift.drawing.player import player_figure, write_player
from gated_lift.drawing.scene import hidden_stretch


def points(trace):
    return np.array([trace[axis] for axis in "xyz"], dtype=float).T


def named(figure, name, mode):
    return [trace for trace in figure["data"] if trace["name"] == name and trace["mode"] == mode]


def test_page_needs_no_network(tmp_path):
    path = write_player(crossing_scene(300), tmp_path / "new" / "player.html", "48 mm", "Free for all uses.")
    assert path == tmp_path / "new" / "player.html"
    assert path.stat().st_size < 8e6
    page = path.read_text(encoding="utf-8")
    assert get_plotlyjs() in page
    own = page.replace(get_plotlyjs(), "")
    assert "http" not in own and "src=" not in own and "import" not in own
    assert re.findall(r'href="([^"]*)"', own) == ["data:,"]
    assert "@" not in own.split("<style>")[0] and "Free for all uses." in own
    figure = json.loads(re.search(r"const figure = (.*), fps = ([\d.]+);\n", own)[1])
    assert len(figure["frames"]) == 150


def test_words_cannot_break_the_page(tmp_path):
    scene = crossing_scene()._replace(rival_label="</script><b>")
    page = write_player(scene, tmp_path / "p.html", "<i> @FIGURE@ & co", "</footer>").read_text("utf-8")
    own = page.replace(get_plotlyjs(), "")
    assert own.count("</script>") == 2 and own.count("</footer>") == 1
    assert "<h1>&lt;i&gt; @FIGURE@ &amp; co</h1>" in own


def test_figure_is_valid_plotly():
    figure, _ = player_figure(crossing_scene())
    go.Figure({"data": figure["data"], "layout": figure["layout"]})  # raises on any unknown property
    for update in figure["frames"][3]["data"]:
        go.Scatter3d(update)


@pytest.mark.parametrize(
    ("fps", "frames", "rate"),
    [
        *((10.0, 60, 10.0), (24.0, 60, 24.0), (25.0, 60, 25.0), (29.97, 60, 29.97), (30.0, 60, 30.0)),
        *((30.01, 60, 30.01), (39.0, 60, 39.0), (41.0, 30, 20.5), (50.0, 30, 25.0), (59.94, 30, 29.97)),
        *((60.0, 30, 30.0), (120.0, 15, 30.0), (119.88, 15, 29.97), (240.0, 8, 30.0)),
    ],
)
def test_frames_are_thinned(fps, frames, rate):
    figure, shown = player_figure(crossing_scene(60, fps))
    assert (len(figure["frames"]), shown) == (frames, rate)


def test_frames_update_only_data_and_stand_upright():
    scene = crossing_scene()
    figure, _ = player_figure(scene)
    skeleton, index = scene.skeleton, 15  # frame 30 of 60: thinned by two
    frame = figure["frames"][index]
    assert frame["name"] == str(index)
    for where, update in zip(frame["traces"], frame["data"], strict=True):
        assert set(update) <= {"x", "y", "z", "marker"} and set(update.get("marker", {})) <= {"color"}
        assert len(update["x"]) == len(figure["data"][where]["x"])
    update = frame["data"][1]
    for bone, (parent, child) in enumerate(skeleton.bones):
        for row, joint in enumerate((parent, child)):
            x, y, z = scene.predicted[1, 30, joint]
            np.testing.assert_allclose(points(update)[3 * bone + row], [x, z, -y], atol=6e-4)
            assert update["marker"]["color"][3 * bone + row] == scene.occluded[1, 30, joint]
    assert scene.occluded[1, 30].any()


def test_scales_are_equal_and_the_camera_is_inside():
    figure, _ = player_figure(crossing_scene())
    box = figure["layout"]["scene"]
    spans = np.array([np.ptp(box[f"{axis}axis"]["range"]) for axis in "xyz"])
    ratio = np.array([box["aspectratio"][axis] for axis in "xyz"])
    np.testing.assert_allclose(ratio / spans, ratio[0] / spans[0], rtol=5e-3)
    for axis in "xyz":
        low, high = box[f"{axis}axis"]["range"]
        assert low < 0 < high
    (camera,) = named(figure, "camera", "lines")
    assert (np.abs(points(camera)[~np.isnan(points(camera)[:, 0])]).max(axis=0) <= [0.3, 0.4, 0.2]).all()


def test_broad_trail_is_the_hidden_stretch():
    scene = crossing_scene()
    figure, _ = player_figure(scene)
    narrow, broad = (points(trace) for trace in named(figure, "person 2", "lines")[:2])
    start, stop = hidden_stretch(scene.occluded)
    shown = np.flatnonzero(np.isfinite(broad[:, 0]))
    np.testing.assert_array_equal(shown, np.arange(start - 1, stop + 1))
    np.testing.assert_array_equal(broad[shown], narrow[shown])
    np.testing.assert_allclose(narrow[:, :2], scene.predicted[1, :, 0][:, [0, 2]], atol=6e-4)
    assert np.ptp(narrow[:, 2]) == 0


def test_truth_is_grey_and_toggles_as_one():
    figure, _ = player_figure(crossing_scene())
    truth = [trace for trace in figure["data"] if trace["name"] == "truth"]
    assert len(truth) == 4  # a path and a figure each
    assert {trace["legendgroup"] for trace in truth} == {"truth"}
    assert sum(trace["showlegend"] for trace in truth) == 1
    bare, _ = player_figure(odd_scenes()["bare"])
    assert not [trace for trace in bare["data"] if trace["name"] == "truth"]


def test_failed_person_is_absent():
    scene = crossing_scene()
    predicted = scene.predicted.copy()
    predicted[1] = np.nan
    figure, _ = player_figure(scene._replace(predicted=predicted))
    assert named(figure, "person 2 (not recovered)", "lines+markers")
    for frame in figure["frames"]:
        assert set(frame["data"][1]["x"]) == {None}
        assert None not in frame["data"][0]["x"][:2]


@pytest.mark.parametrize("name", odd_scenes())
def test_odd_scenes_are_played(name, tmp_path):
    """Every joint of everybody at every moment shown, where the scene has it, filled or as a ring."""
    scene = odd_scenes()[name]
    figure, fps = player_figure(scene)
    json.dumps(figure, allow_nan=False)
    people, count = scene.predicted.shape[:2]
    shown = range(0, count, 2)
    assert fps == scene.fps / 2 and len(figure["frames"]) == len(shown)
    parents, children = (np.array(ends) for ends in zip(*scene.skeleton.bones, strict=True))
    bodies = [scene.predicted] if scene.truth is None else [scene.predicted, scene.truth]
    for frame, update in zip(shown, figure["frames"], strict=True):
        # Everybody's figure, then the marker under it, then the true figures.
        assert len(update["data"]) == people * (len(bodies) + 1)
        for body, joints in enumerate(bodies):
            for person in range(people):
                trace = update["data"][person + (2 * people if body else 0)]
                x, y, z = np.asarray(joints)[person, frame].T
                wanted = np.stack([x, z, -y], axis=-1)
                found = points(trace).reshape(-1, 3, 3)
                np.testing.assert_allclose(found[:, 0], wanted[parents], atol=6e-4)
                np.testing.assert_allclose(found[:, 1], wanted[children], atol=6e-4)
                assert np.isnan(found[:, 2]).all()
                if body == 0:
                    rings = np.reshape(trace["marker"]["color"], (-1, 3))[:, 1]
                    np.testing.assert_array_equal(rings, scene.occluded[person, frame][children])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"predicted": np.zeros((2, 60, 16, 3))}, "predicted has shape"),
        ({"occluded": np.zeros((2, 0, 17), bool)}, "at least one person"),
        ({"fps": -25.0}, "fps is -25.0"),
    ],
)
def test_bad_scene_is_named(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        write_player(crossing_scene()._replace(**change), tmp_path / "player.html")
    assert not (tmp_path / "player.html").exists()
