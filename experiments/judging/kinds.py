"""What people do on every frame, told from their true motion: lying, upside down, turning fast, walking.

The people whom results are judged on do little of that, so their motion is also turned by code (`turned`).
"""

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation

from gated_lift.skeleton import H36M_17

# Every frame is of one kind: the first in this order whose description holds.
UPSIDE_DOWN, LYING, BENT_OVER, LOW, SPINNING, WALKING, STANDING = range(7)
KINDS = {
    UPSIDE_DOWN: "upside down",  # the head is below the hips and the feet are above them
    LYING: "lying",  # the trunk is within 30 degrees of the horizontal and the hips are near the floor
    BENT_OVER: "bent over",  # the head is below the hips and the feet are as well
    LOW: "sitting, low",  # the hips are far below where straight legs hold them
    SPINNING: "fast spin",  # the hips turn about the vertical by a turn a second or more
    WALKING: "walking",  # the hips go somewhere
    STANDING: "standing",
}
TRUNK_SINE = math.sin(math.radians(30))
# Heights of the hips above the floor, as shares of a leg's length: people on chairs have about 0.55.
LYING_HEIGHT, LOW_HEIGHT = 0.4, 0.7
TURNS = 1.0  # a second
TURN_SECONDS = 0.25  # over which a turn is measured
SPEED = 0.4  # metres a second
SPEED_SECONDS = 0.5

HIP, RIGHT_HIP, LEFT_HIP, THORAX, HEAD = (
    H36M_17.names.index(name) for name in ("hip", "right_hip", "left_hip", "thorax", "head")
)
LEGS = [
    [H36M_17.names.index(f"{side}_{part}") for part in ("hip", "knee", "ankle")] for side in ("left", "right")
]


def kinds_of(
    poses: Float[np.ndarray, "frames 17 3"], fps: float, floor_z: float = 0.0
) -> Int[np.ndarray, " frames"]:
    """The kind of every frame, a key of `KINDS`. poses: metres, world z up. floor_z: metres."""
    poses = poses.astype(np.float64)
    hip, head = poses[:, HIP], poses[:, HEAD]
    feet = np.mean([poses[:, leg[-1], 2] for leg in LEGS], axis=0)
    leg_length = np.mean(
        [np.linalg.norm(np.diff(poses[:, leg], axis=1), axis=-1).sum(axis=-1) for leg in LEGS], axis=0
    )
    height = (hip[:, 2] - floor_z) / leg_length
    trunk = poses[:, THORAX] - hip
    level = np.abs(trunk[:, 2]) < TRUNK_SINE * np.linalg.norm(trunk, axis=-1)
    inverted = head[:, 2] < hip[:, 2]
    holds = {
        UPSIDE_DOWN: inverted & (feet > hip[:, 2]),
        LYING: level & (height < LYING_HEIGHT),
        BENT_OVER: inverted,
        LOW: height < LOW_HEIGHT,
        SPINNING: _turns(poses, fps) >= TURNS,
        WALKING: _speed(hip, fps) >= SPEED,
        STANDING: np.ones(len(poses), bool),
    }
    return np.select(list(holds.values()), list(holds)).astype(np.int64)


def _turns(poses: np.ndarray, fps: float) -> np.ndarray:
    """Turns a second of the hips about the vertical, either way round, over `TURN_SECONDS`."""
    across = poses[:, LEFT_HIP] - poses[:, RIGHT_HIP]
    heading = np.unwrap(np.arctan2(across[:, 1], across[:, 0]))
    return np.abs(_rate(heading[:, None], fps, TURN_SECONDS)[:, 0]) / (2 * math.pi)


def _speed(hip: np.ndarray, fps: float) -> np.ndarray:
    """Metres a second over the ground, over `SPEED_SECONDS`."""
    return np.linalg.norm(_rate(hip[:, :2], fps, SPEED_SECONDS), axis=-1)


def _rate(values: np.ndarray, fps: float, seconds: float) -> np.ndarray:
    """Change a second of (frames, n), averaged over so many seconds, or over all of a shorter clip."""
    if len(values) < 2:
        return np.zeros_like(values)
    return uniform_filter1d(np.gradient(values, 1 / fps, axis=0), max(1, round(seconds * fps)), axis=0)


# ----------------------------------------------------------------------------------------- turned by code

# Numbers that follow those of `KINDS`.
ON_BACK, ON_FRONT, ON_HANDS, TWO_TURNS = range(len(KINDS), len(KINDS) + 4)
TURNED = {
    ON_BACK: "laid on the back",
    ON_FRONT: "laid on the front",
    ON_HANDS: "put upside down",
    TWO_TURNS: "spun, two turns a second",
}
PITCH = {ON_BACK: -90.0, ON_FRONT: 90.0, ON_HANDS: 180.0}  # degrees about the axis from hip to hip


def turned(
    poses: Float[np.ndarray, "frames 17 3"], fps: float, kind: int, floor_z: float = 0.0
) -> Float[np.ndarray, "frames 17 3"]:
    """The same poses, turned about the hips as a key of `TURNED` says: rigidly, so the person moves as before
    in axes that are turned. Whoever is laid down or put upside down comes to lie or stand on the floor.
    """
    hip = poses[:, :1]
    if kind == TWO_TURNS:
        angles = 4 * math.pi * np.arange(len(poses)) / fps
        rotation = Rotation.from_rotvec(angles[:, None] * [0.0, 0.0, 1.0]).as_matrix()
        return (hip + (poses - hip) @ rotation.swapaxes(-1, -2)).astype(np.float32)
    across = poses[0, LEFT_HIP] - poses[0, RIGHT_HIP]
    across = across * [1, 1, 0] / np.linalg.norm(across[:2])
    rotation = Rotation.from_rotvec(np.deg2rad(PITCH[kind]) * across).as_matrix()
    found = hip + (poses - hip) @ rotation.T
    found[..., 2] += floor_z - found[..., 2].min()
    return found.astype(np.float32)
