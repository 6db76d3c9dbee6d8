"""Two to eight generated people who cross each other before a hand-held camera, as a detector reports them.

Nothing is captured: people walk and stand as `gated_lift.synthetic.generated` draws them, bodies hide bodies,
and the detector model misses people, exchanges left and right, puts covered joints onto whoever covers them
with the confidence of seen ones, and now and then reports somebody who is not there. Everything follows from
a `CrowdRecipe`; numbers are stored as multiples of a unit, so that a set has a hash.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gated_lift.cameras import HandheldCamera, VirtualCamera, Wander, sample_handheld_camera, world_to_camera
from gated_lift.clips import runs
from gated_lift.people import Detections
from gated_lift.skeleton import H36M_17 as SKELETON
from gated_lift.synthetic.bodies import body_occlusion
from gated_lift.synthetic.detector import DetectorConfig, detect
from gated_lift.synthetic.generated import Gesture, Proportions, stand, walk
from gated_lift.synthetic.snapping import coverers, held, snapped
from solvers import project

# What the stored integers count: pixels, and confidence.
PIXEL, CONFIDENCE = 1 / 20, 1e-3
NEAREST = 0.5  # metres from the lens; nearer joints are not detected
CLEARANCE = 0.4  # metres between two people's hips

CAMERA = HandheldCamera(
    walking=0.6,
    drift=Wander(rms=0.1, band=(0.05, 0.3), falloff=1.0),
    view=VirtualCamera(
        width=1920,
        height=1080,
        focal=(1100.0, 1600.0),
        distance=(3.5, 8.0),
        elevation=(1.0, 1.9),
        aim_jitter=(0.12, 0.08),
    ),
)


class CrowdRecipe(NamedTuple):
    """What a set of scenes is drawn from.

    people: fewest and most in a scene. frames, fps: of every scene; ``fps`` is drawn from the choices.
    lost_share: a person of whom this share of the joints is unsure is not found at all. miss_rate,
    miss_seconds: share of frames on which a visible person is not found, and for how long. snap_rate,
    snap_seconds: share of the frames of a partly covered person on which the covered joints are reported on
    whoever covers them, and for how long. ghosts: people a second who are reported and not there. hiding:
    shortest and longest stretch in seconds for which one of the first two must not be found at the crossing;
    None takes scenes as they come.
    """

    seed: int
    people: tuple[int, int] = (2, 8)
    frames: int = 180
    fps: tuple[float, ...] = (30.0,)
    lost_share: float = 0.75
    miss_rate: float = 0.01
    miss_seconds: float = 0.1
    snap_rate: float = 0.4
    snap_seconds: float = 0.4
    ghosts: float = 0.1
    hiding: tuple[float, float] | None = None
    camera: HandheldCamera = CAMERA
    detector: DetectorConfig = DetectorConfig()


class CrowdScene(NamedTuple):
    """detections: what the detector reports, without ids, rows of a frame in random order.

    person: whom each row shows, −1 for nobody. moved: (rows, joints) joints that were reported on somebody
    else or on the other side. truth: (people, frames, joints, 2) true pixels. visible: (people, frames) the
    share of a person's joints that no other body covers and that is inside the image.
    """

    detections: Detections
    person: Int[np.ndarray, " rows"]
    moved: Bool[np.ndarray, "rows joints"]
    truth: Float[np.ndarray, "people frames joints 2"]
    visible: Float[np.ndarray, "people frames"]


class _Shot(NamedTuple):
    keypoints: Any
    confidence: Any
    truth: Any
    coverage: Any
    depth: Any


def crowd(recipe: CrowdRecipe, index: int) -> CrowdScene:
    """Scene number ``index`` of a recipe.

    Where the recipe asks for a hiding, scenes are drawn until one has it. Raises ValueError for a number of
    people outside 1 to 8, and when 200 draws in a row have no such hiding.
    """
    fewest, most = recipe.people
    if not 1 <= fewest <= most <= 8:
        raise ValueError(f"people is {recipe.people}: ask for 1 to 8, the fewest first")
    for draw in range(200):
        rng = np.random.default_rng([recipe.seed, index, draw])
        scene, found = _draw(recipe, rng)
        if recipe.hiding is None or _hides(found[:2], recipe.hiding, scene.detections.fps):
            return scene
    raise ValueError(f"no scene of {recipe} hides anybody for {recipe.hiding} seconds: widen the bounds")


def fingerprint(scenes: Sequence[CrowdScene]) -> str:
    """sha256 of everything in the scenes, in whole units, as hexadecimal digits."""
    digest = hashlib.sha256()
    for scene in scenes:
        given = scene.detections
        digest.update(f"{given.fps!r} {given.num_frames} {given.image_size}".encode())
        for values, unit in (
            (given.frame, 1),
            (np.nan_to_num(given.keypoints, nan=-1e4), PIXEL),
            (given.confidence, CONFIDENCE),
            (scene.person, 1),
            (scene.moved, 1),
            (scene.truth, PIXEL),
        ):
            whole = np.rint(np.asarray(values, float) / unit).astype("<i4")
            digest.update(f"{whole.shape}".encode() + whole.tobytes())
    return digest.hexdigest()


@partial(jax.jit, static_argnames=("config",))
def _camera(key: Array, targets: Array, fps: Array, config: HandheldCamera) -> Any:
    return sample_handheld_camera(key, targets, fps, config)


@partial(jax.jit, static_argnames=("detector",))
def _shoot(
    key: Array, poses: Array, camera: Any, extrinsics: Any, fps: Array, detector: DetectorConfig
) -> _Shot:
    joints = world_to_camera(poses, extrinsics)
    coverage = body_occlusion(joints, SKELETON).coverage
    depth = joints[..., 0, 2]
    height = camera.focal[1] * 1.7 / jnp.maximum(depth, NEAREST)
    before = joints[..., 2] >= NEAREST
    safe = jnp.where(before[..., None], joints, jnp.array([0.0, 0.0, 1.0], joints.dtype))
    truth = jnp.where(before[..., None], project(safe, camera), jnp.nan)
    seen = detect(key, truth, coverage, height, detector, fps, SKELETON.mirror)
    return _Shot(seen.keypoints, seen.confidence, truth, coverage, depth)


def _draw(recipe: CrowdRecipe, rng: np.random.Generator) -> tuple[CrowdScene, np.ndarray]:
    fps = float(recipe.fps[rng.integers(len(recipe.fps))])
    frames = recipe.frames
    people = int(rng.integers(recipe.people[0], recipe.people[1] + 1))
    meeting = (frames - 1) / (2 * fps) + rng.uniform(-0.5, 0.5)
    time = np.arange(frames) / fps
    # The camera keeps a point in view that moves as one of the people might.
    speed, heading = rng.uniform(0.0, 1.0), rng.uniform(0, 2 * math.pi)
    ground = (time - meeting)[:, None] * speed * np.array([math.cos(heading), math.sin(heading)])
    targets = np.concatenate([ground, np.full((frames, 1), 0.9)], axis=-1)
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        keys = jax.random.split(jax.random.key(int(rng.integers(2**31)), impl="threefry2x32"))
        rate = jnp.asarray(fps)
        camera, extrinsics = _camera(keys[0], jnp.asarray(targets), rate, recipe.camera)
        at_meeting = np.asarray(extrinsics.position)[min(max(round(meeting * fps), 0), frames - 1), :2]
        poses = _people(rng, people, frames, fps, meeting, at_meeting)
        # Nobody is drawn for the rest: one compilation for every number of people.
        full = 2 if people <= 2 and recipe.people[1] == 2 else 8
        padded = np.full((full, *poses.shape[1:]), np.nan)
        padded[:people] = poses
        shot = _shoot(keys[1], jnp.asarray(padded), camera, extrinsics, rate, recipe.detector)
        shot = jax.tree.map(lambda values: np.asarray(values)[:people], shot)
    return _report(recipe, rng, shot, fps)


def _people(
    rng: np.random.Generator, people: int, frames: int, fps: float, meeting: float, camera: np.ndarray
) -> np.ndarray:
    """World poses (people, frames, 17, 3). The first two stand on one line of sight at the meeting."""
    sight = -camera / max(np.linalg.norm(camera), 1e-9)
    across = np.array([-sight[1], sight[0]])
    facing = math.atan2(across[1], across[0])
    gap, side = rng.uniform(0.6, 2.0), rng.choice([-1.0, 1.0])
    placed: list[np.ndarray] = []
    for person in range(people):
        for _ in range(20):
            if person < 2:
                depth = gap * (person - 0.5) * side
                moment, sideways = meeting + rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)
                # Mostly across the picture; the second mostly the other way, else as fast or slower.
                turn = (person * math.pi if rng.random() < 0.75 else 0.0) + rng.normal(0, 0.5)
            else:
                depth, sideways = rng.uniform(-1.8, 3.0), rng.uniform(-1.5, 1.5)
                moment = meeting + rng.uniform(-1.5, 1.5)
                turn = rng.uniform(0, 2 * math.pi)
            place = depth * sight + sideways * across
            # Bones and gestures that leave an elbow without a direction give NaN: such a draw is not taken.
            with np.errstate(invalid="ignore"):
                poses = _person(rng, frames, fps, moment, place, facing + turn, standing=person > 0)
            if not np.isfinite(poses).all():
                continue
            clear = [np.linalg.norm(poses[:, 0, :2] - q[:, 0, :2], axis=-1).min() for q in placed]
            if min(clear, default=1.0) >= CLEARANCE:
                placed.append(poses)
                break
    if len(placed) < people:
        # A crowd too dense to be placed: the drawn places left no room. Begin again.
        return _people(rng, people, frames, fps, meeting, camera)
    return np.stack(placed)


def _person(
    rng: np.random.Generator,
    frames: int,
    fps: float,
    moment: float,
    place: np.ndarray,
    heading: float,
    standing: bool,
) -> np.ndarray:
    """Somebody who is at ``place`` at ``moment`` seconds and faces ``heading`` there; a fifth stand still."""
    figure = Proportions(*(length * (1 + 0.03 * np.clip(rng.normal(), -2, 2)) for length in Proportions()))
    figure = figure.scaled(rng.uniform(0.85, 1.1))
    kinds: tuple[Literal["wave", "reach", "raise", "turn"], ...] = ("wave", "reach", "raise", "turn")
    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    gestures = [
        Gesture(kinds[rng.integers(4)], sides[rng.integers(2)], rng.uniform(0, moment + 1), 1.5)
        for _ in range(rng.integers(0, 3))
    ]
    if standing and rng.random() < 0.2:
        return stand(frames, fps, (float(place[0]), float(place[1])), heading, figure, gestures)
    speed = rng.uniform(0.7, 1.5)
    rate = rng.uniform(-1.0, 1.0) if rng.random() < 0.35 else rng.normal(0, 0.05)
    poses = walk(
        frames, fps, (0.0, 0.0), heading - rate * moment, speed, rate, rng.uniform(), figure, gestures
    )
    here = poses[min(max(round(moment * fps), 0), frames - 1), 0, :2]
    return poses + np.array([*(place - here), 0.0], np.float32)


def _report(
    recipe: CrowdRecipe, rng: np.random.Generator, shot: _Shot, fps: float
) -> tuple[CrowdScene, np.ndarray]:
    """Turns what single people look like into what a detector of several people reports."""
    people, frames, joints = shot.confidence.shape
    width, height = int(recipe.camera.view.width), int(recipe.camera.view.height)
    keypoints, confidence = shot.keypoints.copy(), shot.confidence.copy()
    truth = shot.truth
    x, y = truth[..., 0], truth[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    confidence[~inside] = 0.0
    covered = shot.coverage > 0.5
    unsure = confidence < 0.3
    found = unsure.mean(axis=-1) < recipe.lost_share
    found &= held(rng.random, (people, frames), recipe.miss_seconds, fps) >= recipe.miss_rate
    snaps = held(rng.random, (people, frames), recipe.snap_seconds, fps) < recipe.snap_rate
    others = held(rng.random, (people, frames), recipe.snap_seconds, fps) < 0.3
    own = keypoints, confidence
    some = np.maximum(inside.sum(axis=-1), 1)[..., None]
    middle = np.where(inside[..., None], truth, 0.0).sum(axis=2) / some
    coverer = coverers(middle, shot.depth, found)
    moved = covered & (snaps & found & (coverer >= 0))[..., None]
    order = np.where(others[..., None], np.array(SKELETON.mirror), np.arange(joints))
    keypoints, confidence = snapped(*own, own, moved, coverer, order)
    moved |= _exchanged(own[0], truth)[..., None] & _paired()
    rows = [(t, p) for p, t in zip(*np.nonzero(found), strict=True)]
    pixels = [keypoints[p, t] for t, p in rows]
    trust = [confidence[p, t] for t, p in rows]
    shifted = [moved[p, t] for t, p in rows]
    for _ in range(rng.poisson(recipe.ghosts * frames / fps)):
        # Nobody: half of somebody's joints again, beside them, for some frames.
        p, first = int(rng.integers(people)), int(rng.integers(frames))
        offset = rng.normal(0, 0.15, 2) * 1080 / 3
        kept = rng.random(joints) < 0.5
        for t in range(first, min(first + 1 + int(rng.uniform(0.0, 0.25) * fps), frames)):
            if found[p, t]:
                rows.append((t, -1))
                pixels.append(own[0][p, t] + offset + rng.normal(0, 5, (joints, 2)))
                trust.append(np.where(kept, rng.uniform(0.3, 0.6, joints), 0.1))
                shifted.append(np.zeros(joints, bool))
    frame = np.array([t for t, _ in rows], int)
    shuffled = np.lexsort((rng.random(len(rows)), frame))
    stacked = np.rint(np.array(pixels).reshape(-1, joints, 2)[shuffled] / PIXEL) * PIXEL
    sure = np.rint(np.array(trust).reshape(-1, joints)[shuffled] / CONFIDENCE) * CONFIDENCE
    detections = Detections(
        frame=frame[shuffled],
        keypoints=np.where((sure > 0)[..., None], stacked, np.nan),
        confidence=sure,
        ids=None,
        skeleton=SKELETON,
        num_frames=frames,
        fps=fps,
        times=None,
        image_size=(width, height),
        format="generated",
        source=f"generated crowd {recipe.seed}",
    )
    scene = CrowdScene(
        detections,
        np.array([p for _, p in rows], int)[shuffled],
        np.array(shifted).reshape(-1, joints)[shuffled],
        np.rint(np.nan_to_num(truth, nan=-1e4) / PIXEL) * PIXEL,
        (inside & ~covered).mean(axis=-1),
    )
    return scene, found


def _paired() -> np.ndarray:
    return np.array([SKELETON.mirror[joint] != joint for joint in range(SKELETON.num_joints)])


def _exchanged(keypoints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(people, frames) where left and right are nearer to the truth when they are exchanged."""
    straight = np.linalg.norm(keypoints - truth, axis=-1)[..., _paired()]
    crossed = np.linalg.norm(keypoints - truth[..., list(SKELETON.mirror), :], axis=-1)[..., _paired()]
    return np.median(crossed, axis=-1) < 0.5 * np.median(straight, axis=-1)


def _hides(found: np.ndarray, bounds: tuple[float, float], fps: float | None) -> bool:
    """Whether one of two people is not found for a while in ``bounds`` seconds, with a before and after."""
    assert fps is not None
    longest = 0
    for row in found:
        for start, stop in runs(~row):
            if start < 0.5 * fps or stop > len(row) - 0.5 * fps:
                return False
            longest = max(longest, stop - start)
    return bool(bounds[0] <= longest / fps <= bounds[1])
