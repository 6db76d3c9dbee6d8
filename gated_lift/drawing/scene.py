"""A scene of several people as pictures and the player show it, and what they measure on it."""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from gated_lift.clips import runs
from gated_lift.skeleton import Skeleton

# A person with at least this share of joints hidden counts as mostly hidden, unless a scene says otherwise.
MOSTLY_HIDDEN = 0.75
# What other paths may add to the view of the trusted ones, in metres: a diverged path must not shrink the
# rest to a dot.
VIEW_SLACK = 1.5


class Scene(NamedTuple):
    """What the pictures and the player show of P people over F frames.

    keypoints: pixels, origin top left; where ``occluded`` is True they may be anything and are not used.
    occluded: True = hidden.
    width, height: of the image, pixels.
    predicted, truth, rival: absolute joints in metres, camera axes x right, y down, z forward; a person
    whose solve
        failed is NaN.
    true_keypoints: where hidden joints really are on the image; without it they are interpolated in time.
    hidden_share: with at least this share of joints hidden a person counts as hidden: the pictures show the
        longest such stretch.
    screen: something in the scene that hides people, as pixels of each frame whose convex hull it fills.
    """

    skeleton: Skeleton
    fps: float
    keypoints: Float[Array | np.ndarray, "people frames joints 2"]
    occluded: Bool[Array | np.ndarray, "people frames joints"]
    width: int
    height: int
    predicted: Float[Array | np.ndarray, "people frames joints 3"]
    truth: Float[Array | np.ndarray, "people frames joints 3"] | None = None
    rival: Float[Array | np.ndarray, "people frames joints 3"] | None = None
    rival_label: str = "rival"
    true_keypoints: Float[Array | np.ndarray, "people frames joints 2"] | None = None
    hidden_share: float = MOSTLY_HIDDEN
    screen: Float[Array | np.ndarray, "frames points 2"] | None = None


def prepare_scene(scene: Scene) -> Scene:
    """The scene as NumPy arrays (float64), with NaN for hidden keypoints and for everything that is not
    finite.

    Raises ValueError, naming the field, both shapes and the mend, when there are no people or frames, when
    shapes disagree, when ``occluded`` is not boolean, when fps, width or height are not positive, or when
    hidden_share is not a share.
    """
    occluded = np.asarray(scene.occluded)
    if occluded.ndim != 3 or occluded.dtype != np.bool_:
        raise ValueError(
            f"occluded has shape {occluded.shape} and dtype {occluded.dtype}: "
            "pass booleans (people, frames, joints), True where a joint is hidden"
        )
    if 0 in occluded.shape:
        raise ValueError(
            f"occluded has shape {occluded.shape}: a scene needs at least one person, frame and joint"
        )
    if occluded.shape[-1] != scene.skeleton.num_joints:
        raise ValueError(
            f"occluded has {occluded.shape[-1]} joints, but {scene.skeleton.name} has "
            f"{scene.skeleton.num_joints}: pass the skeleton that the arrays come in"
        )
    for name, value in (("fps", scene.fps), ("width", scene.width), ("height", scene.height)):
        if not (isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: pass a positive, finite number")
    if not 0 < scene.hidden_share <= 1:
        raise ValueError(f"hidden_share is {scene.hidden_share}: pass a share above 0, at most 1")
    screen = None if scene.screen is None else np.asarray(scene.screen, np.float64)
    frames = occluded.shape[1]
    if screen is not None and (screen.shape[::2] != (frames, 2) or screen.shape[1] < 3):
        raise ValueError(
            f"screen has shape {screen.shape}: pass pixels ({frames}, points, 2), three points or more"
        )

    def array(name: str, dims: int) -> np.ndarray | None:
        value = getattr(scene, name)
        if value is None:
            return None
        value = np.asarray(value)
        if value.shape != (*occluded.shape, dims):
            raise ValueError(
                f"{name} has shape {value.shape}, but occluded has {occluded.shape}: "
                f"pass {name} as {(*occluded.shape, dims)}"
            )
        value = value.astype(np.float64)
        return np.where(np.isfinite(value).all(axis=-1, keepdims=True), value, np.nan)

    keypoints, predicted = array("keypoints", 2), array("predicted", 3)
    if keypoints is None or predicted is None:
        raise ValueError("keypoints or predicted is None: pass pixels and metres, NaN where a solve failed")
    return scene._replace(
        keypoints=np.where(occluded[..., None], np.nan, keypoints),
        occluded=occluded,
        predicted=predicted,
        truth=array("truth", 3),
        rival=array("rival", 3),
        true_keypoints=array("true_keypoints", 2),
        screen=screen,
    )


def mostly_hidden(
    occluded: Bool[Array | np.ndarray, "people frames joints"], share: float = MOSTLY_HIDDEN
) -> Bool[np.ndarray, "people frames"]:
    """mean over joints of occluded >= share."""
    return np.asarray(np.asarray(occluded).mean(axis=-1) >= share)


def hidden_stretch(
    occluded: Bool[Array | np.ndarray, "people frames joints"], share: float = MOSTLY_HIDDEN
) -> tuple[int, int]:
    """(first, past-the-last) frame of the longest stretch in which one person is mostly hidden.

    Where nobody is, the single frame at which one person has the most hidden joints (the middle frame when
    every joint is seen).
    """
    best = (0, 0)
    for flags in mostly_hidden(occluded, share):
        for start, stop in runs(flags):
            if stop - start > best[1] - best[0]:
                best = (start, stop)
    if best[1]:
        return best
    hidden = np.asarray(occluded).mean(axis=-1).max(axis=0)
    frame = int(hidden.argmax()) if hidden.any() else len(hidden) // 2
    return frame, frame + 1


def path_joint(skeleton: Skeleton) -> int:
    """The joint that stands for a person on a path: the hip centre, or the root where a format has none."""
    return skeleton.names.index("hip") if "hip" in skeleton.names else 0


def person_label(scene: Scene, person: int) -> str:
    """'person 1', counted from one, with a note when nothing of the person was recovered."""
    lost = not np.isfinite(np.asarray(scene.predicted)[person]).any()
    return f"person {person + 1}" + (" (not recovered)" if lost else "")


def upright(points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Camera axes (x right, y down, z forward) as plot axes (x right, z away, up)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def view_box(clouds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a box around the first cloud that has points; later ones may widen it by VIEW_SLACK."""
    low = high = None
    for cloud in clouds:
        points = cloud.reshape(-1, cloud.shape[-1])
        points = points[np.isfinite(points).all(axis=-1)]
        if not len(points):
            continue
        if low is None or high is None:
            low, high = points.min(0), points.max(0)
            floor, ceiling = low - VIEW_SLACK, high + VIEW_SLACK
        low = np.minimum(low, np.maximum(points.min(0), floor))
        high = np.maximum(high, np.minimum(points.max(0), ceiling))
    if low is None or high is None:
        low, high = np.zeros(clouds[0].shape[-1]), np.ones(clouds[0].shape[-1])
    margin = 0.06 * (high - low).max() + 0.05
    return low - margin, high + margin


def check_frame(scene: Scene, frame: int) -> None:
    frames = np.shape(scene.occluded)[1]
    if not 0 <= frame < frames:
        raise ValueError(f"frame is {frame}, but the scene has {frames} frames: pass 0 to {frames - 1}")
