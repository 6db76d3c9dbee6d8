"""Everybody in 3D while they are filmed: a line of JSON a frame from standard input, one to standard output.

    detector | gated-lift --live --fps 30 --image-size 1920x1080 --focal 1400 --people 2 | viewer

In:  {"people": [{"keypoints": [[x, y, c], ...]}, ...]}, with "id" for each person, "frame" and "time" if you
like; or OpenPose's own dictionary of a frame. Out: {"frame": 0, "people": [{"id": 0, "status": "converged",
"joints": [[x, y, z], ...], "root": ..., "hidden": ..., "lagged_root": ...}], "lagged_frame": -15}, metres in
the camera's axes. docs/live.md has the details.

A line that cannot be read is answered by {"line": number, "error": why}, also on standard error; the stream
goes on, and the command ends with 1 instead of 0."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from experiments.commands import tell
from gated_lift.live import Live, LiveFrame, start_live, step_live
from gated_lift.live.lines import Pace, next_frame, read_line, record_of, skeleton_of_line
from gated_lift.live.stream import check_live
from gated_lift.networks.checkpoints import load_lifter
from gated_lift.readers.cameras import read_intrinsics
from gated_lift.skeleton import SKELETONS
from gated_lift.video.camera import choose_camera
from gated_lift.video.lift import told_vertical
from solvers import TrajectoryConfig

MAX_LINE = 2**22  # bytes: hundreds of people


@dataclass(frozen=True)
class LiveConfig:
    """Settings of a stream."""

    fps: float
    """Frames a second that come."""
    image_size: str
    """WIDTHxHEIGHT of the images in pixels."""
    people: int = 4
    """How many are there at a time, at most."""

    skeleton: str | None = None
    """Name of the keypoints' skeleton. With it the programs are compiled before the first line."""
    threshold: float = 0.3
    """Keypoints of less confidence count as hidden."""

    focal: float | None = None
    """Focal length in pixels."""
    fov: float | None = None
    """Angle of view along the longer side, degrees."""
    intrinsics: Path | None = None
    """Camera file: JSON, OpenCV's YAML, COLMAP's cameras.txt, Pose2Sim's TOML."""
    camera_name: str | None = None
    """Which camera of that file."""
    tilt: float | None = None
    """Degrees by which the camera looks down (up: below zero), if you know, for weights that read it."""
    roll: float = 0.0
    """Degrees by which it is rolled clockwise, as its operator sees it."""

    weights: str = "causal"
    """Causal weights that ship, or the folder of a run's checkpoints."""
    lag: float = 0.5
    """Seconds after which a root is given again, better."""
    longest_gap: float = 1.5
    """Seconds after which somebody who is not seen is no longer answered for."""
    robust: bool = True
    """Huber's loss in the path: single wrong keypoints pull less."""
    flip: bool = True
    """Average over the mirror image: better, at twice the network's time."""
    log: Literal["warning", "info"] = "warning"
    """What to say on the way."""


def lines_of(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines and their numbers, from 1, as soon as each has come; without those that are blank. Of a line that
    is too long only the first part comes, one byte longer than what is read.
    """
    number = 0
    while line := source.readline(MAX_LINE + 1):
        number += 1
        end = line
        while len(end) > MAX_LINE and not end.endswith(b"\n"):
            end = source.readline(MAX_LINE + 1)
        if line.strip():
            yield number, line


def answer_lines(config: LiveConfig, image_size: tuple[int, int], source: BinaryIO, sink: TextIO) -> int:
    """Reads ``source`` to its end and writes a line to ``sink`` for each of its lines; returns how many could
    not be read. Raises ValueError, before the first line, for settings that cannot be meant.
    """
    if config.skeleton is not None and config.skeleton not in SKELETONS:
        raise ValueError(f"skeleton is {config.skeleton[:40]!r}: choose from {', '.join(SKELETONS)}")
    known = None if config.intrinsics is None else read_intrinsics(config.intrinsics, config.camera_name)
    camera = choose_camera(image_size, config.focal, config.fov, known)
    up = told_vertical(config.tilt, config.roll)
    lifter = load_lifter(config.weights)
    check_live(lifter, config.fps, config.people, config.lag, config.threshold, config.longest_gap)
    given = None if config.skeleton is None else SKELETONS[config.skeleton]

    def start(skeleton: Any) -> Live:
        return start_live(
            *(lifter, camera, config.fps, config.people, skeleton),
            lag=config.lag,
            threshold=config.threshold,
            longest_gap=config.longest_gap,
            up=up,
            trajectory=TrajectoryConfig(loss="huber" if config.robust else "squared"),
            flip=config.flip,
        )

    def write(record: dict[str, Any]) -> None:
        sink.write(json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n")
        sink.flush()

    live = None if given is None else start(given)
    pace, wrong = Pace(), 0
    for number, text in lines_of(source):
        try:
            if len(text) > MAX_LINE:
                raise ValueError(f"line {number} is longer than {MAX_LINE} bytes: write one frame a line")
            line = read_line(text, number)
            after, frame_number, lost = next_frame(pace, line, config.fps)
            if live is None and len(line.people):
                live = start(skeleton_of_line(line, given))
            frame: LiveFrame | None = None
            if live is not None:
                people = line.people
                if not len(people):
                    people = people.reshape(0, live.settings.skeleton.num_joints, 3)
                try:
                    live, frame = step_live(live, people[..., :2], people[..., 2], line.ids, lost)
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from error
            pace = after
            write(record_of(frame_number, line.time, frame))
        except ValueError as error:
            message = tell("gated-lift", error)
            write({"line": number, "error": message})
            pace, wrong = pace.without_line(), wrong + 1
    return wrong
