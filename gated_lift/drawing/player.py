"""A 3D player of a recovered scene in one HTML file that needs no network: plotly.js travels inside it."""

import json
import re
from html import escape
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from plotly.offline import get_plotlyjs

from gated_lift.drawing.figures import TRUTH_COLOR, color_of
from gated_lift.drawing.scene import (
    Scene,
    mostly_hidden,
    path_joint,
    person_label,
    prepare_scene,
    upright,
    view_box,
)
from gated_lift.skeleton import Skeleton

SHOWN_FPS = 30.0  # smooth to the eye, and a browser keeps up with it

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>@TITLE@</title>
<style>
html, body { margin: 0; height: 100%; font: 15px system-ui, sans-serif; color: #222; background: #fff; }
body { display: flex; flex-direction: column; }
h1 { font-size: 18px; margin: 12px 16px 0; }
#scene { flex: 1; min-height: 0; }
nav { display: flex; gap: 12px; align-items: center; padding: 4px 16px 8px; }
nav input { flex: 1; }
button { font: inherit; width: 84px; padding: 5px 0; }
output { min-width: 120px; text-align: right; font-variant-numeric: tabular-nums; }
footer { font-size: 12px; color: #666; padding: 0 16px 8px; }
</style>
</head>
<body>
<h1>@TITLE@</h1>
<div id="scene"></div>
<nav><button id="play" type="button">Play</button>
<input id="time" type="range" min="0" max="@LAST@" value="0" step="1" aria-label="time">
<output id="clock"></output></nav>
<footer>Drag to turn, scroll to zoom, click a name to hide or show it. Rings are hidden joints.
@FOOTNOTE@</footer> <script>@PLOTLY@</script>
<script>
const figure = @FIGURE@, fps = @FPS@;
@SCRIPT@
</script>
</body>
</html>
"""

# The page keeps the time itself and skips frames where a browser is slow, so that a second of motion lasts a
# second.
_SCRIPT = """
const plot = document.getElementById("scene"), play = document.getElementById("play");
const slider = document.getElementById("time"), clock = document.getElementById("clock");
const count = figure.frames.length;
let playing = false, held = false, busy = true, shown = 0, since = 0, first = 0;
function show(index) {
  clock.textContent = (index / fps).toFixed(2) + " s of " + ((count - 1) / fps).toFixed(2) + " s";
  if (busy || held || index === shown) return;
  busy = true;
  shown = index;
  const done = () => { busy = false; show(+slider.value); };
  Plotly.animate(plot, [String(index)],
    {mode: "immediate", transition: {duration: 0}, frame: {duration: 0, redraw: true}}).then(done, done);
}
function restart() {
  first = +slider.value;
  since = performance.now();
}
function tick(now) {
  if (!playing || held) return;
  slider.value = (first + Math.max(0, Math.floor((now - since) / 1000 * fps))) % count;
  show(+slider.value);
  requestAnimationFrame(tick);
}
play.onclick = () => {
  playing = !playing;
  play.textContent = playing ? "Pause" : "Play";
  restart();
  if (playing) requestAnimationFrame(tick);
};
slider.oninput = () => { restart(); show(+slider.value); };
// A redraw would undo the turn or the zoom that a hand is making: the motion waits until it rests.
let resting = 0;
function release() {
  if (!held) return;
  held = false;
  restart();
  show(+slider.value);
  if (playing) requestAnimationFrame(tick);
}
plot.addEventListener("pointerdown", () => { held = true; }, true);
window.addEventListener("pointerup", release, true);
window.addEventListener("pointercancel", release, true);
plot.addEventListener("wheel", () => {
  held = true;
  clearTimeout(resting);
  resting = setTimeout(release, 300);
}, {capture: true, passive: true});
document.addEventListener("keydown", (event) => {
  if (event.code !== "Space" || event.target === play) return;
  event.preventDefault();
  play.click();
});
show(0);
Plotly.newPlot(plot, figure).then(() => { busy = false; show(+slider.value); });
"""


def write_player(scene: Scene, path: str | PathLike[str], title: str = "", footnote: str = "") -> Path:
    """Writes one self-contained HTML file that plays a scene in 3D, in camera space (up is up on the screen).

    Shows everybody's predicted figure in colour, the truth in grey (a click on its name hides it), their
    paths on the ground with the mostly hidden stretches broad, a grid of one-metre squares and the camera.
    Every frame is shown, or every second, third, ..., whichever comes nearest to `SHOWN_FPS` a second; joints
    are rounded to a millimetre; plotly.js is about 5 MB of the file.

    title: for instance the errors, as text; footnote: for instance a licence sentence. Folders are made
    where missing. Returns the path. Raises ValueError as `scene.prepare_scene` does; people who are NaN
    are absent.
    """
    figure, fps = player_figure(scene)
    # "</" would end the script element wherever a label holds it.
    data = json.dumps(figure, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    parts = {
        "TITLE": escape(title or "Recovered people in 3D"),
        "FOOTNOTE": escape(footnote),
        "LAST": str(len(figure["frames"]) - 1),
        "FPS": repr(fps),
        "SCRIPT": _SCRIPT,
        "PLOTLY": get_plotlyjs(),
        "FIGURE": data,
    }
    # One pass, so that a title that looks like a placeholder stays a title.
    page = re.sub("@([A-Z]+)@", lambda match: parts[match[1]], _PAGE)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def player_figure(scene: Scene) -> tuple[dict[str, Any], float]:
    """The player's plotly figure (data, layout, frames, config) and its frames a second.

    Each frame updates only the figures and the markers under them; grid, camera and paths stay. Raises
    ValueError as `scene.prepare_scene` does.
    """
    scene = prepare_scene(scene)
    predicted = upright(np.asarray(scene.predicted))
    truth = None if scene.truth is None else upright(np.asarray(scene.truth))
    hidden = np.asarray(scene.occluded)
    # The nearest rate, not the nearest below: a film at 30.01 frames a second is not to be shown at 15.
    steps = range(1, ceil(scene.fps / SHOWN_FPS) + 1)
    step = min(steps, key=lambda step: abs(scene.fps / step - SHOWN_FPS))
    people, shown = range(len(predicted)), range(0, predicted.shape[1], step)

    low, high = view_box([predicted] if truth is None else [truth, predicted])
    floor = float(low[2])
    # The camera belongs to the scene, wherever the people are.
    low, high = np.minimum(low, [-0.5, -0.5, 0.0]), np.maximum(high, [0.5, 0.5, 0.5])
    low[2] -= 0.05  # what lies exactly on the edge of the box is half clipped
    low[:2], high[:2] = np.floor(low[:2]), np.ceil(high[:2])

    still = [_grid(low, high, floor), _camera(scene.width / scene.height), *_trails(scene, floor)]
    moving = [_figure(scene, person, color_of(person)) for person in people]
    moving += [_here(color_of(person), f"person {person + 1}") for person in people]
    if truth is not None:
        moving += [_figure(scene, person, None) for person in people]

    def update(frame: int) -> list[dict[str, Any]]:
        points, joint = predicted[:, frame], path_joint(scene.skeleton)
        traces = [
            _bones(points[person], scene.skeleton)
            | {"marker": {"color": _per_bone(hidden[person, frame], scene.skeleton)}}
            for person in people
        ]
        traces += [_points(_on_floor(points[person, joint][None], floor)) for person in people]
        if truth is not None:
            traces += [_bones(truth[person, frame], scene.skeleton) for person in people]
        return traces

    for trace, values in zip(moving, update(0), strict=True):
        trace["marker"] = trace["marker"] | values.pop("marker", {})
        trace.update(values)
    indices = list(range(len(still), len(still) + len(moving)))
    frames = [
        {"name": str(index), "traces": indices, "data": update(frame)} for index, frame in enumerate(shown)
    ]
    figure = {
        "data": still + moving,
        "layout": _layout(low, high, predicted if truth is None else truth),
        "frames": frames,
        "config": {
            "responsive": True,
            "displayModeBar": False,
            "displaylogo": False,
            "showTips": False,
            "scrollZoom": True,
        },
    }
    return figure, scene.fps / step


def _layout(low: np.ndarray, high: np.ndarray, people: np.ndarray) -> dict[str, Any]:
    unit = 2.5  # metres to one of plotly's scene units: equal scales, and a figure fills most of the height
    middle = (low + high) / 2
    points = people.reshape(-1, 3)
    points = points[np.isfinite(points[:, 0])]
    target = (points.min(0) + points.max(0)) / 2 if len(points) else middle
    reach = np.linalg.norm(points.max(0) - points.min(0)) if len(points) else 2.0
    # From the side, where errors in depth show, and between people and camera, so that both are in view.
    distance = max(1.1 * reach, 1.05 * np.linalg.norm(target), 3.0)
    target = target * np.array([1.0, 0.66, 1.0])
    eye = target + distance * np.array([0.78, -0.5, 0.38])

    def place(point: np.ndarray) -> dict[str, float]:
        scaled = (point - middle) / unit
        return {axis: round(float(value), 3) for axis, value in zip("xyz", scaled, strict=True)}

    ranges = {
        f"{axis}axis": {"range": [round(float(low[i]), 3), round(float(high[i]), 3)], "visible": False}
        for i, axis in enumerate("xyz")
    }
    ratio = {axis: round(float(size), 3) for axis, size in zip("xyz", (high - low) / unit, strict=True)}
    return {
        "scene": ranges
        | {
            "aspectmode": "manual",
            "aspectratio": ratio,
            "camera": {"center": place(target), "eye": place(eye), "up": {"x": 0, "y": 0, "z": 1}},
            "dragmode": "turntable",
        },
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "legend": {"x": 0.01, "y": 0.98, "font": {"size": 14}, "bgcolor": "rgba(255,255,255,0.7)"},
        "hovermode": False,
        # Keeps the reader's view and choices while frames go by.
        "uirevision": "keep",
    }


def _grid(low: np.ndarray, high: np.ndarray, floor: float) -> dict[str, Any]:
    """One-metre squares, square to the camera's axes, at the height of the lowest joint."""
    lines = [[[x, low[1]], [x, high[1]]] for x in np.arange(low[0], high[0] + 0.5)]
    lines += [[[low[0], y], [high[0], y]] for y in np.arange(low[1], high[1] + 0.5)]
    segments = np.full((len(lines), 3, 3), np.nan)
    segments[:, :2, :2] = lines
    segments[:, :2, 2] = floor
    return (
        _line("ground, 1 m squares", "#C4C4C4", 2) | {"legendrank": 1002} | _points(segments.reshape(-1, 3))
    )


def _camera(aspect: float) -> dict[str, Any]:
    """A frustum of nominal size at the origin: where the camera stands and looks, not its field of view."""
    half = np.array([0.16 * aspect, 0.16])
    corners = np.array(
        [[x * half[0], 0.4, z * half[1]] for x, z in ((-1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1))]
    )
    spokes = [row for corner in corners[:4] for row in (np.zeros(3), corner, np.full(3, np.nan))]
    mark = _line("camera", "#222222", 5) | {"legendrank": 1001}
    return mark | _points(np.array([*corners, np.full(3, np.nan), *spokes]))


def _trails(scene: Scene, floor: float) -> list[dict[str, Any]]:
    """Ground paths: truth grey, prediction in colour (hidden stretches broad), the rival on request."""
    joint, hidden = path_joint(scene.skeleton), mostly_hidden(scene.occluded, scene.hidden_share)
    # One frame more on either side, so that a stretch of a single frame has a length.
    wide = hidden.copy()
    wide[:, 1:] |= hidden[:, :-1]
    wide[:, :-1] |= hidden[:, 1:]

    def ground(joints: Any, person: int) -> np.ndarray:
        return _on_floor(upright(np.asarray(joints)[person, :, joint]), floor)

    traces = []
    for person in range(len(hidden)):
        color, name = color_of(person), f"person {person + 1}"
        path = ground(scene.predicted, person)
        group = {"legendgroup": name, "showlegend": False}
        if scene.truth is not None:
            grey = {"legendgroup": "truth", "showlegend": False}
            traces.append(_line("truth", TRUTH_COLOR, 4) | grey | _points(ground(scene.truth, person)))
        traces.append(_line(name, color, 4) | group | _points(path))
        broad = np.where(wide[person][:, None], path, np.nan)
        traces.append(_line(name, color, 16) | group | _points(broad))
        if scene.rival is not None:
            rival = _line(f"{scene.rival_label} (path)", color, 4) | _points(ground(scene.rival, person))
            rival["line"]["dash"] = "dot"
            group = {
                "legendgroup": "rival",
                "showlegend": person == 0,
                "visible": "legendonly",
                "legendrank": 1003,
            }
            traces.append(rival | group)
    return traces


def _figure(scene: Scene, person: int, color: str | None) -> dict[str, Any]:
    """A stick figure without its points; grey and without rings when ``color`` is None (the truth)."""
    if color is None:
        group = {"legendgroup": "truth", "showlegend": person == 0}
        marker = {"size": 2.5, "color": TRUTH_COLOR}
        return _line("truth", TRUTH_COLOR, 6) | group | {"mode": "lines+markers", "marker": marker}
    # 0 = seen, filled; 1 = hidden, a ring.
    marker = {
        "size": 4,
        "cmin": 0,
        "cmax": 1,
        "colorscale": [[0, color], [1, "#FFFFFF"]],
        "line": {"color": color, "width": 2},
    }
    group = {"legendgroup": f"person {person + 1}", "marker": marker, "mode": "lines+markers"}
    return _line(person_label(scene, person), color, 7) | group


def _here(color: str, group: str) -> dict[str, Any]:
    """The marker on the ground under a person."""
    marker = {"size": 5, "color": color}
    return _line(group, color, 1) | {
        "mode": "markers",
        "marker": marker,
        "legendgroup": group,
        "showlegend": False,
    }


def _line(name: str, color: str, width: int) -> dict[str, Any]:
    return {
        "type": "scatter3d",
        "mode": "lines",
        "name": name,
        "line": {"color": color, "width": width},
        "hoverinfo": "skip",
    }


def _points(points: Float[np.ndarray, "points 3"]) -> dict[str, Any]:
    """x, y and z as short lists: millimetres are enough, and None (a gap) stands for what is not known."""
    known = np.isfinite(points).all(axis=-1)
    return {
        axis: [round(float(value), 3) if good else None for value, good in zip(column, known, strict=True)]
        for axis, column in zip("xyz", points.T, strict=True)
    }


def _bones(joints: Float[np.ndarray, "joints 3"], skeleton: Skeleton) -> dict[str, Any]:
    """Every bone as parent, child, gap."""
    gap = np.full(3, np.nan)
    rows = [row for a, b in skeleton.bones for row in (joints[a], joints[b], gap)]
    return _points(np.array(rows).reshape(-1, 3))


def _per_bone(hidden: Bool[np.ndarray, " joints"], skeleton: Skeleton) -> list[int]:
    return [bit for a, b in skeleton.bones for bit in (int(hidden[a]), int(hidden[b]), 0)]


def _on_floor(points: Float[np.ndarray, "points 3"], floor: float) -> Float[np.ndarray, "points 3"]:
    return np.concatenate([points[:, :2], np.full((len(points), 1), floor)], axis=-1)
