"""From a detector's keypoint file to everybody's 3D joints and paths.

    gated-lift                        # lifts the example that ships with the package
    gated-lift keypoints/ --fps 29.97 --image-size 1920x1080 --video clip.mp4 --output out/
    gated-lift clips/*.json --fps 30 --image-size 1920x1080    # several videos of one camera
    gated-lift --live --fps 30 --image-size 1920x1080 --people 2    # frame by frame, from standard input
    python -m experiments.lift ...    # the same

Formats are found from the content (docs/formats.md lists them). Who is who, who hides whom, and where
everybody is are found from the keypoints; the page report.html shows it all, and people.npz and the other
files hold it (docs/exports.md). --live has settings of its own: gated-lift --live --help lists them."""

import logging
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from experiments import live, reporting
from experiments.commands import run_script, tell
from gated_lift.drawing.movie import movie_path, plan_movie
from gated_lift.drawing.report import plan_report
from gated_lift.drawing.video import check_video
from gated_lift.exports import EXPORTS, plan_all, possible_paths
from gated_lift.networks.checkpoints import load_infill
from gated_lift.networks.weights import INFILL
from gated_lift.outputs import check_free, write_whole
from gated_lift.people import LiftedPeople
from gated_lift.pipeline import has_path
from gated_lift.video.example import EXAMPLE, EXAMPLE_CAMERA, EXAMPLE_PEOPLE
from gated_lift.video.lift import lift_file
from gated_lift.video.size import stature
from solvers import Status, TrajectoryConfig, describe_status

LIFTED = Path("lifted")
# OpenPose writes a file a frame; AlphaPose can.
FRAME_FILE = re.compile(r"\d_keypoints\.json$|^\d+\.json$")
# What says in its message all there is to know of a file or a setting that cannot be lifted.
REFUSED = (ValueError, OSError, ImportError)


@dataclass(frozen=True)
class LiftConfig:
    """Settings of a lift."""

    keypoints: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """A detector's files, one a video, or its folders of files. Without any the example that ships is
    lifted."""
    fps: float | None = None
    """Frames a second, where the file does not say."""
    image_size: str | None = None
    """WIDTHxHEIGHT of the video in pixels, where the file does not say."""
    output: Path | None = None
    """Folder for what is written; lifted/NAME unless given. Several videos get a folder NAME in it each."""
    overwrite: bool = False
    """Replace files that are there already."""

    format: str | None = None
    """Format of the keypoints, where their content does not tell (docs/formats.md)."""
    skeleton: str | None = None
    """Name of the keypoints' skeleton, where the file may be in two."""
    allow_pickle: bool = False
    """Read archives of pickled objects; only from people you trust."""
    threshold: float = 0.3
    """Keypoints of less confidence count as hidden."""
    people: int | None = None
    """How many people there are, if you know."""
    ids: Literal["own", "file"] = "own"
    """Find out who is who, or keep the ids of the file."""
    tracker: Literal["network", "online"] = "network"
    """Look at the whole video to find out who is who, or only at what came before."""

    focal: float | None = None
    """Focal length in pixels."""
    fov: float | None = None
    """Angle of view along the longer side, degrees."""
    intrinsics: Path | None = None
    """Camera file: JSON, OpenCV's YAML, COLMAP's cameras.txt, Pose2Sim's TOML."""
    camera_name: str | None = None
    """Which camera of that file."""
    camera_path: Path | None = None
    """Where the camera was (TUM, COLMAP's images.txt, JSON): everything is in world axes then."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees to turn the images clockwise so that people are upright."""
    height: float | None = None
    """How tall everybody is, metres: sets the scale."""
    heights: tuple[str, ...] = ()
    """How tall single people are, NAME=METRES."""
    floor: bool = True
    """People stand on one floor: sizes that fit it are found for all of them."""
    tilt: float | None = None
    """Degrees by which a camera that stands still looks down (up: below zero), if you know."""
    roll: float = 0.0
    """Degrees by which it is rolled clockwise, as its operator sees it."""
    camera_height: float | None = None
    """Metres of a camera that stands still above the floor: sets the scale."""

    robust: bool = True
    """Huber's loss in the path: single wrong keypoints pull less."""
    covering_rounds: int = 1
    """How often, at most, keypoints that lie on somebody nearer are hidden, and all are lifted again."""
    constant_bones: bool = False
    """Give every bone of a person one length."""
    infill: bool = False
    """Fill times during which a whole person is hidden by what people do, with a network of its own: joints
    and paths there are a little better, and the lift takes longer."""
    infill_weights: Path = INFILL
    """Checkpoint folder of that network (experiments.train_infill); the one that ships unless given."""

    video: Path | None = None
    """The video itself, to be shown behind the keypoints in the report."""
    exports: tuple[str, ...] = ("npz", "csv")
    """Files to write beside the report: npz json csv trc c3d bvh glb."""
    up: Literal["y", "z"] | None = None
    """The axis that points up in the exported files; each format's own unless given."""
    movie: Path | None = None
    """Also write a film (.mp4, or .gif)."""
    log: Literal["warning", "info"] = "warning"
    """What to say on the way."""


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "1920x1080". Raises ValueError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", text.strip())
    if not match or not all(int(number) for number in match.groups()):
        raise ValueError(f"image-size is {text[:40]!r}: give WIDTHxHEIGHT in pixels, such as 1920x1080")
    return int(match[1]), int(match[2])


def parse_heights(config: LiftConfig) -> dict[str, float]:
    """Metres by name, "" for everybody. Raises ValueError for what is not NAME=METRES."""
    heights = {} if config.height is None else {"": config.height}
    for item in config.heights:
        name, equals, metres = item.rpartition("=")
        try:
            heights[name] = float(metres)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"heights has {item[:40]!r}: give NAME=METRES, such as 'person 1=1.78'")
    return heights


def name_of(path: Path) -> str:
    """What a detector's file or folder calls its video: its own name without endings."""
    return path.name.split(".")[0] or path.name


def summary(people: LiftedPeople) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of what was found of each person."""
    columns = ("person", "seconds", "hidden", "distance", "tall", "residual", "status")
    tall, placed = stature(people.joints, people.skeleton), has_path(people.status)
    sure = (
        [""] * len(tall) if people.size_std is None else [f" ± {each:.2f}" for each in people.size_std * tall]
    )
    camera = (
        people.root if people.extrinsics is None else people.root - np.asarray(people.extrinsics.position)
    )
    rows: list[tuple[str, ...]] = []
    for person, name in enumerate(people.names):
        there = people.present[person]
        seconds = there.sum() / people.fps
        hidden = people.hidden[person][there].mean() if there.any() else 1.0
        found = bool(placed[person]) and there.any()
        distance = np.linalg.norm(camera[person][there], axis=-1)
        residual = people.residual[person][np.isfinite(people.residual[person])]
        rows.append(
            (
                name,
                f"{seconds:.1f} s",
                f"{100 * hidden:.0f} %",
                f"{np.nanmin(distance):.1f} to {np.nanmax(distance):.1f} m" if found else "–",
                f"{tall[person]:.2f}{sure[person]} m" if found else "–",
                f"{np.median(residual):.1f} px" if len(residual) else "–",
                Status(int(people.status[person])).name.lower().replace("_", " "),
            )
        )
    return columns, rows


def lift(config: LiftConfig) -> Path:
    """Lifts one file, or the example, and writes what was asked for; returns the folder."""
    console = reporting.console()
    path, intrinsics, people = next(iter(config.keypoints), None), config.intrinsics, config.people
    if path is None:
        path, people = EXAMPLE, EXAMPLE_PEOPLE
        intrinsics = intrinsics or (EXAMPLE_CAMERA if config.focal is None and config.fov is None else None)
        console.print(
            "lifting the example: a man and a woman who walk, one partly hiding the other "
            "(give a file of your own to lift that; --help says how)"
        )
    unknown = [name for name in config.exports if name not in EXPORTS]
    if unknown:
        raise ValueError(f"exports has {', '.join(unknown)}: choose from {', '.join(EXPORTS)}")
    folder = config.output or LIFTED / name_of(path)
    report = folder / "report.html"
    overwrite = config.overwrite or not config.keypoints
    # What would stop the writing stops it here, before anything long begins.
    outputs = [report, *possible_paths(folder, "people", config.exports)]
    outputs += [] if config.movie is None else [movie_path(config.movie)]
    check_free(outputs, overwrite)
    if config.video is not None:
        check_video(config.video)
    infill = load_infill(config.infill_weights) if config.infill else None
    words = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*words, console=console, transient=True) as bar:
        task = bar.add_task("reading, following and lifting people", total=None)
        done = 0

        def progress(frames: int) -> None:
            nonlocal done
            done += frames
            elapsed = bar.tasks[0].elapsed or 1.0
            bar.update(task, description=f"lifting people: {done} frames, {done / elapsed:.0f} a second")

        found = lift_file(
            path,
            config.fps,
            parse_size(config.image_size),
            format=config.format,
            skeleton=config.skeleton,
            allow_pickle=config.allow_pickle,
            people=people,
            ids=config.ids,
            tracker=config.tracker,
            threshold=config.threshold,
            focal=config.focal,
            fov=config.fov,
            intrinsics=intrinsics,
            camera_name=config.camera_name,
            camera_path=config.camera_path,
            heights=parse_heights(config),
            rotate=config.rotate,
            tilt=config.tilt,
            roll=config.roll,
            camera_height=config.camera_height,
            floor=config.floor,
            progress=progress,
            trajectory=TrajectoryConfig(loss="huber" if config.robust else "squared"),
            covering_rounds=config.covering_rounds,
            constant_bones=config.constant_bones,
            infill=infill,
        )
        bar.update(task, description="writing")
        files = plan_report(found, report, config.video)
        files |= plan_all(found, folder, "people", config.exports, config.up)
        if config.movie is not None:
            files |= plan_movie(found, config.movie, config.video)
        written = write_whole(files, overwrite)
    reporting.show(console, *summary(found))
    for person, name in enumerate(found.names):
        status = Status(int(found.status[person]))
        if status != Status.CONVERGED:
            console.print(f"{name}: {describe_status(status)}")
    console.print(f"axes: {found.axes}; wrote {', '.join(str(each) for each in written)}")
    return folder


def lift_all(config: LiftConfig) -> int:
    """Lifts several files, each as `lift` does, into a folder of its own name; returns how many were refused,
    each with a line on standard error. The others are lifted all the same.

    Raises ValueError where two files would have one folder, where all are frames of one video, and for
    settings that are of one video alone.
    """
    for name in ("video", "movie", "camera_path"):
        if getattr(config, name) is not None:
            flag = name.replace("_", "-")
            raise ValueError(f"{flag} is of one video: lift that one by itself, or leave {flag} away")
    if all(FRAME_FILE.search(path.name) for path in config.keypoints):
        raise ValueError(
            f"keypoints has {len(config.keypoints)} files that are single frames, {config.keypoints[0]} the "
            f"first: give their folder, {config.keypoints[0].parent}"
        )
    above = config.output or LIFTED
    folders: dict[str, Path] = {}
    for path in config.keypoints:
        first = folders.setdefault(name_of(path), path)
        if first is not path:
            raise ValueError(
                f"keypoints has {first} and {path}, which would both be written to {above / name_of(path)}: "
                "rename one, or lift them with an --output each"
            )
    refused = 0
    for count, (name, path) in enumerate(folders.items(), 1):
        reporting.console().print(f"{count} of {len(folders)}: {path}")
        try:
            lift(replace(config, keypoints=(path,), output=above / name))
        except REFUSED as error:
            tell("gated-lift", error)
            refused += 1
    return refused


def command(arguments: list[str]) -> int:
    """0, or 2 after one line on standard error about what was wrong; 1 where only lines of a stream were."""
    config: LiftConfig | live.LiveConfig
    if "--live" in arguments:
        rest = [each for each in arguments if each != "--live"]
        config = tyro.cli(live.LiveConfig, prog="gated-lift --live", description=live.__doc__, args=rest)
    else:
        config = tyro.cli(LiftConfig, prog="gated-lift", description=__doc__, args=arguments)
    # Beside the table, not in it: what is said on the way goes to standard error. Some libraries have put
    # handlers of their own here when they were imported.
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = [RichHandler(console=Console(stderr=True), show_time=False, show_path=False)]
    root.setLevel(config.log.upper())
    try:
        if isinstance(config, live.LiveConfig):
            return stream(config)
        if len(config.keypoints) > 1:
            return 2 if lift_all(config) else 0
        lift(config)
    except REFUSED as error:
        tell("gated-lift", error)
        return 2
    except KeyboardInterrupt:
        print("gated-lift: stopped", file=sys.stderr)
        return 130
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    return 0


def stream(config: live.LiveConfig) -> int:
    """Standard input to standard output: 0, or 1 where lines were wrong. Whoever stops either ends it."""
    size = parse_size(config.image_size)
    assert size is not None
    try:
        return int(live.answer_lines(config, size, sys.stdin.buffer, sys.stdout) > 0)
    except BrokenPipeError:
        # Python flushes standard output once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def main() -> None:
    sys.exit(command(sys.argv[1:]))


def run() -> None:
    """What the installed command ``gated-lift`` calls."""
    run_script(main)


if __name__ == "__main__":
    run_script(main)
