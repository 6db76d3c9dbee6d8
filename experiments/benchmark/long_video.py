"""Hours of video through the whole command: how long it takes, and how much memory it needs at most."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import reporting
from experiments.benchmark.timing import write_markdown
from gated_lift.cameras import world_to_camera
from gated_lift.skeleton import BODY_25, COCO_17, H36M_17, SKELETONS
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import DetectorConfig, detect
from gated_lift.synthetic.generated import walk
from solvers import Camera, Extrinsics, project

SIZE, FOCAL = (1920, 1080), 1145.0
DISTANCE, HEIGHT = 10.0, 1.5  # metres of the camera from the middle of the floor, and over it
CHUNK = 1000  # frames that are drawn at once
LOST = 0.75  # a person of whom this share of the joints is unsure is not found


class Found(NamedTuple):
    """What a detector reports on some frames, the first of which is ``first``. found: whom it finds."""

    first: int
    keypoints: np.ndarray
    confidence: np.ndarray
    found: np.ndarray


@dataclass(frozen=True)
class LongVideoBenchmark:
    """The command ``gated-lift`` on a generated video of people who walk in circles and hide each other, in
    several formats, with its report and exports; a process of its own for each."""

    frames: int = 100_000
    people: int = 4
    fps: float = 50.0
    formats: tuple[str, ...] = ("alphapose", "openpose", "csv", "npz")
    """What the keypoints are written as: alphapose openpose csv npz."""
    exports: tuple[str, ...] = ("npz", "csv")
    seed: int = 0
    folder: Path | None = None
    """Where files are written, and stay; a temporary folder unless given."""
    output: Path | None = None
    """Also write the table as Markdown."""


def detected(config: LongVideoBenchmark) -> Iterator[Found]:
    """A detector's answers for people who walk in circles before a camera that stands still, some frames at a
    time. Joints are Human3.6M's. Frames of a chunk that another body hides are those of `body_occlusion`.
    """
    rng = np.random.default_rng(config.seed)
    paths = []
    for person in range(config.people):
        radius, speed = rng.uniform(1.3, 2.0), rng.uniform(0.8, 1.2)
        heading = 2 * math.pi * person / config.people
        # A walk in a circle begins at the right of its middle, as seen along the heading.
        middle = rng.uniform(-0.6, 0.6, 2)
        start = middle + radius * np.array([math.sin(heading), -math.cos(heading)])
        paths.append(
            walk(
                config.frames,
                config.fps,
                (float(start[0]), float(start[1])),
                heading,
                speed,
                turn_rate=speed / radius * (1 if person % 2 else -1),
                phase=rng.uniform(),
            )
        )
    right, down, ahead = [1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]
    still = Extrinsics(jnp.asarray([[right, down, ahead]]), jnp.asarray([[0.0, -DISTANCE, HEIGHT]]))
    camera = Camera((FOCAL, FOCAL), (SIZE[0] / 2, SIZE[1] / 2))
    for number, first in enumerate(range(0, config.frames, CHUNK)):
        poses = np.stack([path[first : first + CHUNK] for path in paths])
        short = CHUNK - poses.shape[1]
        padded = np.pad(poses, ((0, 0), (0, short), (0, 0), (0, 0)), mode="edge")
        keypoints, confidence = _shoot(
            jax.random.key(config.seed + number), jnp.asarray(padded), camera, still, config.fps
        )
        keypoints, confidence = (
            np.array(values)[:, : poses.shape[1]].astype(np.float32) for values in (keypoints, confidence)
        )
        outside = (keypoints < 0) | (keypoints > np.array(SIZE))
        confidence[outside.any(axis=-1)] = 0
        yield Found(first, keypoints, confidence, (confidence < 0.3).mean(axis=-1) < LOST)


@partial(jax.jit, static_argnames=("fps",))
def _shoot(
    key: jax.Array, poses: jax.Array, camera: Camera, still: Extrinsics, fps: float
) -> tuple[jax.Array, jax.Array]:
    joints = world_to_camera(poses, still)
    height = FOCAL * 1.7 / joints[..., 0, 2]
    coverage = body_occlusion(joints, H36M_17).coverage
    seen = detect(key, project(joints, camera), coverage, height, DetectorConfig(), fps, H36M_17.mirror)
    return seen.keypoints, seen.confidence


def _rows_in(name: str, parts: Iterator[Found]) -> Iterator[tuple[int, int, list[list[float]]]]:
    """Frame, person and (x, y, confidence) of the joints of a skeleton, (0, 0, 0) for those that are not
    Human3.6M's. The nose is where that has the upper end of the neck, eyes and ears where it has the top of
    the head: near enough for a benchmark.
    """
    names = SKELETONS[name].names
    stand_in = dict.fromkeys(("left_eye", "right_eye", "left_ear", "right_ear"), "head")
    stand_in |= {"nose": "neck", "neck_base": "thorax"}
    own = [stand_in.get(each, each) for each in names]
    index = [H36M_17.names.index(each) if each in H36M_17.names else -1 for each in own]
    for part in parts:
        values = np.concatenate([part.keypoints, part.confidence[..., None]], axis=-1)
        values = np.concatenate([values, np.zeros((*values.shape[:2], 1, 3), np.float32)], axis=2)
        values = np.round(values[:, :, index].astype(float), 3)
        for frame in range(values.shape[1]):
            for person in range(values.shape[0]):
                if part.found[person, frame]:
                    yield part.first + frame, person, values[person, frame].tolist()


def write_alphapose(path: Path, parts: Iterator[Found]) -> Path:
    """One list of everybody, as AlphaPose writes it, without ids."""
    path = path / "alphapose-results.json"
    with path.open("w") as file:
        begin = "["
        for frame, _, joints in _rows_in(COCO_17.name, parts):
            flat = [number for joint in joints for number in joint]
            entry = {"image_id": f"{frame:06d}.jpg", "category_id": 1, "keypoints": flat}
            file.write(begin + json.dumps(entry | {"score": 2.5, "box": [0, 0, 1, 1]}))
            begin = ", "
        file.write("]")
    return path


def write_openpose(path: Path, parts: Iterator[Found]) -> Path:
    """A file a frame with the 25 joints of OpenPose."""
    path = path / "openpose"
    path.mkdir(exist_ok=True)
    people: list[dict[str, object]] = []
    last = 0

    def close(frame: int) -> None:
        text = json.dumps({"version": 1.3, "people": people})
        (path / f"clip_{frame:012d}_keypoints.json").write_text(text)
        people.clear()

    for frame, _, joints in _rows_in(BODY_25.name, parts):
        while last < frame:
            close(last)
            last += 1
        flat = [number for joint in joints for number in joint]
        people.append({"person_id": [-1], "pose_keypoints_2d": flat})
    close(last)
    return path


def write_csv(path: Path, parts: Iterator[Found]) -> Path:
    """A line a joint that is seen; the ids are there, and people are found anew all the same."""
    path = path / "keypoints.csv"
    with path.open("w") as file:
        file.write("frame,joint,x,y,confidence,person\n")
        for frame, person, joints in _rows_in(H36M_17.name, parts):
            for name, (x, y, sure) in zip(H36M_17.names, joints, strict=True):
                if sure > 0:
                    file.write(f"{frame},{name},{x:.2f},{y:.2f},{sure:.3f},{person}\n")
    return path


def write_npz(path: Path, parts: Iterator[Found]) -> Path:
    """(frames, people, joints, 3), in which the columns are people: they are found anew all the same."""
    path = path / "keypoints.npz"
    kept = []
    for part in parts:
        values = np.concatenate([part.keypoints, part.confidence[..., None]], axis=-1)
        values[~part.found] = np.nan
        kept.append(np.moveaxis(values, 0, 1))
    np.savez(path, keypoints=np.concatenate(kept), skeleton=H36M_17.name)
    return path


WRITERS: dict[str, Callable[[Path, Iterator[Found]], Path]] = {
    "alphapose": write_alphapose,
    "openpose": write_openpose,
    "csv": write_csv,
    "npz": write_npz,
}


def run_long_video(config: LongVideoBenchmark) -> list[list[str]]:
    """Runs the command on every format and prints a table; returns its rows.

    Raises ValueError for a format that is not written here, and RuntimeError where the command fails.
    """
    unknown = [name for name in config.formats if name not in WRITERS]
    if unknown:
        raise ValueError(f"formats has {', '.join(unknown)}: choose from {', '.join(WRITERS)}")
    columns = ["format", "size", "seconds", "processor seconds", "frames a second", "times real time"]
    columns += ["peak memory", "report"]
    rows: list[list[str]] = []
    console = reporting.console()
    with tempfile.TemporaryDirectory() as scratch:
        folder = config.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in config.formats:
            console.print(f"{name}: {config.frames} frames of {config.people} people", style="dim")
            path = WRITERS[name](folder, detected(config))
            size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
            seconds, processor, peak = run_command(path, folder / f"{name}_out", config)
            report = (folder / f"{name}_out" / "report.html").stat().st_size
            rows.append(
                [
                    name,
                    f"{size / 2**20:.0f} MiB",
                    f"{seconds:.0f}",
                    f"{processor:.0f}",
                    f"{config.frames / seconds:.0f}",
                    f"{config.frames / config.fps / seconds:.1f}",
                    f"{peak / 2**30:.2f} GiB",
                    f"{report / 1e6:.0f} MB",
                ]
            )
    reporting.show(console, columns, rows)
    write_markdown(config.output, columns, rows)
    return rows


def run_command(path: Path, output: Path, config: LongVideoBenchmark) -> tuple[float, float, float]:
    """Seconds, those of all processors, and bytes at the peak, of ``gated-lift`` in a process of its own."""
    command = [sys.executable, "-m", "experiments.lift", str(path), "--output", str(output), "--overwrite"]
    command += ["--fps", str(config.fps), "--image-size", f"{SIZE[0]}x{SIZE[1]}", "--focal", str(FOCAL)]
    # Who leaves the picture comes back as the same person: so many there are.
    command += ["--exports", *config.exports, "--people", str(config.people)]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    # The kernel's own count of this one process; this one has never been as large as the command gets.
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"gated-lift ended with {process.returncode} on {path}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
