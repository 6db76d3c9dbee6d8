"""Judges trackers on generated crossings and on pedestrians: HOTA, IDF1, switches, and scenes without one.

    python -m experiments.judge_tracking                         # the table of docs/tracking.md
    python -m experiments.judge_tracking --split choose          # other seeds: settings are chosen on these
    python -m experiments.judge_tracking --pedestrians vtest_mediapipe.npz
    python -m experiments.judge_tracking --in-space cmu_single.npz cmu_pairs.npz     # what errors cost in 3D

The judged sets are frozen: their sha256 stands below, and another one is refused, since numbers on other
scenes cannot be compared. HOTA, IDF1 and switches are trackeval's (the extra ``test``); ByteTrack is that of
the package ``trackers`` and is left out where that is not installed.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import tyro
from scipy.optimize import linear_sum_assignment

from experiments import reporting
from experiments.commands import run_script
from gated_lift import metrics
from gated_lift.cameras import camera_to_world
from gated_lift.networks.checkpoints import LoadedLifter, load_lifter
from gated_lift.people import Detections
from gated_lift.readers.motion import read_clips
from gated_lift.readers.npz import read_npz
from gated_lift.skeleton import COCO_17, H36M_17
from gated_lift.synthetic.crowds import CrowdRecipe, CrowdScene, crowd, fingerprint
from gated_lift.synthetic.moving_pairs import MovingPair, wrong_set
from gated_lift.tracking import track
from gated_lift.tracking.figure import figure_of
from gated_lift.tracking.rows import rows_of
from gated_lift.tracking.similarity import boxes, likeness
from gated_lift.tracking.track import label
from gated_lift.video.lift import lift_tracks
from solvers import Extrinsics, TrajectoryConfig


class FrozenSet(NamedTuple):
    """A set of scenes by its recipe; sha256 is None where any will do."""

    name: str
    recipe: CrowdRecipe
    scenes: int
    sha256: str | None


TWO = CrowdRecipe(seed=4100, people=(2, 2), hiding=(0.1, 1.0))
MANY = CrowdRecipe(seed=4200, people=(3, 8))
JUDGED = (
    FrozenSet(
        "two people, one fully hidden for 0.1 to 1 s",
        TWO,
        100,
        "a796b258bdb39f6e67a49e1a4abd718eccd478df7e84291465894a6281e1e609",
    ),
    FrozenSet(
        "3 to 8 people",
        MANY,
        60,
        "635e8454a425296471e42c2aac4e1edc4c20e84b8af52400aac7f5e726c729a6",
    ),
)
CHOSEN_ON = (
    FrozenSet("two people (choosing)", TWO._replace(seed=5100), 100, None),
    FrozenSet("3 to 8 people (choosing)", MANY._replace(seed=5200), 60, None),
)
# A person counts as there where this share of the joints is inside the image and not covered.
LEAST_VISIBLE = 0.25
# A scene has no switch when each person keeps one id, nobody shares it, and this share of rows has an id.
LEAST_KEPT = 0.9


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """What is judged on what."""

    split: Literal["judge", "choose"] = "judge"
    """judge: the frozen sets. choose: sets of other seeds."""
    trackers: tuple[str, ...] = ("network", "online", "bytetrack")
    pedestrians: Path | None = None
    """The pedestrian sample (.npz with MediaPipe landmarks by track), judged too where it is given."""
    scenes: int | None = None
    """So many scenes of each set, for a quick look; hashes are not checked then."""
    in_space: tuple[Path, ...] = ()
    """Capture files: instead of all that, the pairs of moving-pairs-v1-wrong are followed, lifted and placed,
    and judged by their errors in 3D."""
    weights: str = "two_stream"
    """Of the lifter then: a name of weights that ship, or a checkpoint folder."""
    output: Path = Path("runs/judge_tracking.md")


Tracker = Callable[[Detections], np.ndarray]


def by_label(method: Literal["network", "online"]) -> Tracker:
    return lambda detections: label(detections, method=method).person


def by_bytetrack(detections: Detections) -> np.ndarray:
    """ByteTrack on the boxes of the seen keypoints, with a memory of 1.5 seconds and else as it comes."""
    import supervision
    from trackers import ByteTrackTracker

    fps = float(detections.fps or 30.0)
    rows = rows_of(detections, figure_of(detections.skeleton))
    # Its memory counts in frames of 30 a second and scales with the rate itself.
    tracker = ByteTrackTracker(lost_track_buffer=45, frame_rate=fps)
    person = np.full(len(detections.frame), -1)
    box = boxes(rows.keypoints, rows.seen)
    for frame in range(detections.num_frames):
        here = np.flatnonzero(rows.frame == frame)
        sure = np.nanmean(np.where(rows.seen[here], detections.confidence[rows.source[here]], np.nan), axis=1)
        found = supervision.Detections(
            xyxy=box[here].reshape(-1, 4).astype(np.float32),
            confidence=sure.astype(np.float32),
            class_id=np.zeros(len(here), int),
            data={"row": rows.source[here]},
        )
        found = tracker.update(found)
        if len(found) and found.tracker_id is not None:
            person[np.asarray(found.data["row"], int)] = found.tracker_id
    return person


TRACKERS: dict[str, Tracker] = {
    "network": by_label("network"),
    "online": by_label("online"),
    "bytetrack": by_bytetrack,
}


class Judged(NamedTuple):
    """One scene for trackeval, and whether it has no switch."""

    data: dict[str, Any]
    clean: bool


def judge_scene(scene: CrowdScene, person: np.ndarray) -> Judged:
    """person: the tracker's id of every row, −1 for none. Truth and rows are compared by their keypoints."""
    given = scene.detections
    figure = figure_of(given.skeleton)
    height = np.ptp(scene.truth[..., 1], axis=2)
    similarity, truth_ids, found_ids = [], [], []
    seen = np.isfinite(given.keypoints).all(axis=-1) & (given.confidence >= 0.3)
    keypoints = np.nan_to_num(given.keypoints)
    for frame in range(given.num_frames):
        here = np.flatnonzero((given.frame == frame) & (person >= 0))
        there = np.flatnonzero(scene.visible[:, frame] >= LEAST_VISIBLE)
        truth = scene.truth[there, frame]
        found = likeness(
            truth,
            np.ones(truth.shape[:2], bool),
            keypoints[here],
            seen[here],
            np.maximum(height[there, frame], 1.0),
            np.zeros(len(there)),
            figure,
        )
        similarity.append(found)
        truth_ids.append(there)
        found_ids.append(person[here])
    clean = True
    names = []
    for number in range(len(scene.truth)):
        mine = person[scene.person == number]
        kept = np.unique(mine[mine >= 0])
        clean &= len(kept) == 1 and bool((mine >= 0).mean() >= LEAST_KEPT)
        names += kept.tolist()
    clean &= len(set(names)) == len(names)
    return Judged(_numbered(similarity, truth_ids, found_ids), bool(clean))


def _numbered(similarity: list, truth_ids: list, found_ids: list) -> dict[str, Any]:
    """trackeval's form of a sequence: ids count from 0."""
    truth_names, found_names = (
        np.unique(np.concatenate(ids)) if ids else np.zeros(0, int) for ids in (truth_ids, found_ids)
    )
    return {
        "num_timesteps": len(similarity),
        "num_gt_ids": len(truth_names),
        "num_tracker_ids": len(found_names),
        "num_gt_dets": sum(len(ids) for ids in truth_ids),
        "num_tracker_dets": sum(len(ids) for ids in found_ids),
        "gt_ids": [np.searchsorted(truth_names, ids) for ids in truth_ids],
        "tracker_ids": [np.searchsorted(found_names, ids) for ids in found_ids],
        "similarity_scores": similarity,
    }


def scores(data: Sequence[dict[str, Any]]) -> dict[str, float]:
    """HOTA, AssA and IDF1 in per cent and the number of switches, over all sequences together."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    found = {}
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
    for metric in (HOTA(), Identity(quiet), CLEAR(quiet)):
        one = {str(number): metric.eval_sequence(sequence) for number, sequence in enumerate(data)}
        found.update(metric.combine_sequences(one))
    return {
        "HOTA": 100 * float(np.mean(found["HOTA"])),
        "AssA": 100 * float(np.mean(found["AssA"])),
        "IDF1": 100 * float(found["IDF1"]),
        "switches": float(found["IDSW"]),
    }


def pedestrians(path: Path) -> tuple[Detections, np.ndarray]:
    """The sample's rows in a shuffled order, and the track of the file that each came from."""
    arrays = read_npz(path, ("keypoints", "fps", "image_size", "coco17_from_mediapipe"))
    keypoints = arrays["keypoints"][:, :, arrays["coco17_from_mediapipe"]].astype(float)
    frame, person = np.nonzero((keypoints[..., 2] > 0).any(axis=-1))
    order = np.lexsort((np.random.default_rng(0).random(len(frame)), frame))
    frame, person = frame[order], person[order]
    rows = keypoints[frame, person]
    width, height = (int(side) for side in arrays["image_size"])
    return (
        Detections(
            frame=frame,
            keypoints=rows[..., :2],
            confidence=np.clip(rows[..., 2], 0, 1),
            ids=None,
            skeleton=COCO_17,
            num_frames=len(keypoints),
            fps=float(arrays["fps"]),
            times=None,
            image_size=(width, height),
            format="mediapipe",
            source=path.name,
        ),
        person,
    )


def judge_pedestrians(detections: Detections, truth: np.ndarray, person: np.ndarray) -> dict[str, Any]:
    """A row is like the same row and no other: only who is who is judged."""
    similarity, truth_ids, found_ids = [], [], []
    for frame in range(detections.num_frames):
        here = np.flatnonzero(detections.frame == frame)
        kept = here[person[here] >= 0]
        similarity.append((here[:, None] == kept[None]).astype(float))
        truth_ids.append(truth[here])
        found_ids.append(person[kept])
    return _numbered(similarity, truth_ids, found_ids)


def build(wanted: FrozenSet, scenes: int | None) -> list[CrowdScene]:
    """The scenes of a set. Raises ValueError where a frozen set has another hash."""
    count = wanted.scenes if scenes is None else min(scenes, wanted.scenes)
    made = [crowd(wanted.recipe, index) for index in range(count)]
    digest = fingerprint(made)
    print(f"{wanted.name}: {count} scenes, sha256 {digest}", flush=True)
    if wanted.sha256 is not None and scenes is None and digest != wanted.sha256:
        raise ValueError(
            f"{wanted.name} has sha256 {digest}, expected {wanted.sha256}: the generator, NumPy's or JAX's "
            "random numbers are of another version, and results on these scenes cannot be compared"
        )
    return made


COLUMNS = ("set", "tracker", "HOTA", "AssA", "IDF1", "switches", "scenes without one %", "ms a frame")


def judge(config: JudgeConfig) -> None:
    """Prints the table and writes it as Markdown."""
    names = [name for name in config.trackers if name != "bytetrack" or _has_bytetrack()]
    table = []
    for wanted in JUDGED if config.split == "judge" else CHOSEN_ON:
        scenes = build(wanted, config.scenes)
        for name in names:
            TRACKERS[name](scenes[0].detections)  # compiles
            began = time.perf_counter()
            people = [TRACKERS[name](scene.detections) for scene in scenes]
            spent = time.perf_counter() - began
            judged = [judge_scene(scene, person) for scene, person in zip(scenes, people, strict=True)]
            found = scores([one.data for one in judged])
            clean = [one.clean for one in judged]
            frames = sum(scene.detections.num_frames for scene in scenes)
            table.append(
                _line(wanted.name, name, found, f"{100 * np.mean(clean):.0f}", 1000 * spent / frames)
            )
            bad = [number for number, fine in enumerate(clean) if not fine]
            print(f"{name}: {found}, scenes with a switch {bad}", flush=True)
        # What nobody can pass: the detector misses people, and reports some who are not there.
        perfect = [judge_scene(scene, scene.person) for scene in scenes]
        found = scores([one.data for one in perfect])
        table.append(_line(wanted.name, "true identities", found, "100", None))
    if config.pedestrians is not None:
        detections, truth = pedestrians(config.pedestrians)
        for name in names:
            began = time.perf_counter()
            person = TRACKERS[name](detections)
            spent = time.perf_counter() - began
            found = scores([judge_pedestrians(detections, truth, person)])
            table.append(_line("pedestrians", name, found, "–", 1000 * spent / detections.num_frames))
    config.output.parent.mkdir(parents=True, exist_ok=True)
    reporting.report(reporting.console(), COLUMNS, table, config.output, names=2)


def unlabelled(pair: MovingPair, seed: int) -> tuple[Detections, np.ndarray]:
    """What the detector reports of a pair, rows of a frame in random order, and whom each row shows. Somebody
    of whom nothing counts is not found.
    """
    person, frame = np.nonzero(~pair.occluded.all(axis=-1))
    order = np.lexsort((np.random.default_rng(seed).random(len(frame)), frame))
    person, frame = person[order], frame[order]
    return (
        Detections(
            frame=frame,
            keypoints=pair.keypoints[person, frame].astype(float),
            confidence=np.where(pair.occluded[person, frame], 0.1, 0.9),
            ids=None,
            skeleton=H36M_17,
            num_frames=pair.occluded.shape[1],
            fps=pair.fps,
            times=None,
            image_size=(pair.width, pair.height),
            format="generated",
            source="+".join(pair.sources),
        ),
        person,
    )


class InSpace(NamedTuple):
    """Errors (2, F) of a pair in metres, NaN where a person has no answer, and rows that show whom the track
    does not stand for or have none.
    """

    pose: np.ndarray
    root: np.ndarray
    strange: int
    rows: int


def judge_in_space(
    pair: MovingPair, detections: Detections, truth: np.ndarray, found: np.ndarray, lifter: LoadedLifter
) -> InSpace:
    """found: the tracker's id of every row, −1 for none. A track stands for the person whom most of its rows
    show, one track a person; tracks that are left over answer for nobody.
    """
    names = np.unique(found[found >= 0])
    shown = np.array([[np.sum((found == name) & (truth == who)) for name in names] for who in range(2)])
    whose = dict(zip(*(index.tolist() for index in linear_sum_assignment(-shown)), strict=True))
    tracks = track(detections._replace(ids=found), ids="file")
    extrinsics = Extrinsics(*map(jnp.asarray, pair.extrinsics))
    lifted = lift_tracks(
        *(tracks, pair.camera, pair.fps, (pair.width, pair.height), lifter, extrinsics),
        covariance=False,
        floor=False,  # sizes as lifted: what is judged here is who is who and who hides whom
        trajectory=TrajectoryConfig(loss="huber"),
    )
    joints = np.full(pair.joints.shape, np.nan, np.float32)
    for who, number in whose.items():
        joints[who] = lifted.joints[number]
    target = camera_to_world(jnp.asarray(pair.joints), extrinsics)
    answered = np.isfinite(joints).all(axis=(-1, -2))
    pose = np.asarray(metrics.pa_mpjpe(jnp.asarray(joints), target)).mean(axis=-1)
    root = np.linalg.norm(joints[:, :, 0] - np.asarray(target)[:, :, 0], axis=-1)
    own = np.array([names[whose[who]] if who in whose else -2 for who in range(2)])
    pose, root = (np.where(answered, values, np.nan) for values in (pose, root))
    return InSpace(pose, root, int((found != own[truth]).sum()), len(truth))


SPACE_COLUMNS = (
    *("tracker", "rows of somebody else or of nobody %", "frames without an answer %"),
    *("PA-MPJPE", "root", "pairs with a root off by 1 m %"),
)


def judge_all_in_space(config: JudgeConfig) -> None:
    """Prints the table of errors in 3D and writes it as Markdown."""
    pairs = wrong_set(read_clips(config.in_space))
    given = [unlabelled(pair, number) for number, pair in enumerate(pairs)]
    lifter, table = load_lifter(config.weights), []
    for name in (*config.trackers, "true identities"):
        if name == "bytetrack" and not _has_bytetrack():
            continue
        judged = [
            judge_in_space(pair, rows, who, who if name not in TRACKERS else TRACKERS[name](rows), lifter)
            for pair, (rows, who) in zip(pairs, given, strict=True)
        ]
        pose, root = (
            1000 * np.concatenate([getattr(one, values).ravel() for one in judged])
            for values in ("pose", "root")
        )
        strange = sum(one.strange for one in judged) / sum(one.rows for one in judged)
        astray = [bool(np.nanmax(one.root) > 1.0) for one in judged]
        table.append(
            [
                *(name, f"{100 * strange:.1f}", f"{100 * np.isnan(pose).mean():.1f}"),
                *(f"{np.nanmean(pose):.1f}", f"{np.nanmean(root):.0f}", f"{100 * np.mean(astray):.0f}"),
            ]
        )
    config.output.parent.mkdir(parents=True, exist_ok=True)
    after = ["Millimetres, means over frames with an answer."]
    reporting.report(reporting.console(), SPACE_COLUMNS, table, config.output, after=after)


def _line(
    name: str, tracker: str, found: dict[str, float], clean: str, milliseconds: float | None
) -> list[str]:
    numbers = [f"{found[key]:.1f}" for key in ("HOTA", "AssA", "IDF1")]
    return [
        name,
        tracker,
        *numbers,
        f"{found['switches']:.0f}",
        clean,
        "–" if milliseconds is None else f"{milliseconds:.2f}",
    ]


def _has_bytetrack() -> bool:
    try:
        import trackers  # noqa: F401
    except ImportError:
        print("the package trackers is not installed: ByteTrack is left out")
        return False
    return True


def main() -> None:
    config = tyro.cli(JudgeConfig, description=__doc__)
    (judge_all_in_space if config.in_space else judge)(config)


if __name__ == "__main__":
    run_script(main)
