"""Who hides whom: joints that a detector has put on the wrong person, with confidence.

Where one person covers another, detectors draw the joints of the one behind on the one in front. A joint that
is seen cannot lie behind somebody nearer: a keypoint of the person behind that falls on a limb of the person
in front, and on that person's joint of the same name or of the other side, is not where the joint is.
"""

import jax
import numpy as np
from jaxtyping import Bool, Float

from gated_lift.clips import runs
from gated_lift.recovery.lengths import laid_out
from gated_lift.skeleton import Skeleton
from gated_lift.synthetic.bodies import BONE_RADII
from solvers import Camera, project

# Metres, of a limb that `BONE_RADII` does not know.
OTHER_RADIUS = 0.06
# Two people's keypoints of one name, or of mirrored names, are together when they are so near, in metres at
# the people's mean distance. While more than this share of them are, one person has the other's, and their
# distances cannot be told apart.
TOGETHER, TOGETHER_SHARE, LEAST_COMPARED = 0.085, 0.1, 3
# Whoever would have no keypoint for longer than this many seconds keeps what the detector says: a doubtful
# keypoint is better than none.
LONGEST_COVERED = 2.0
# Frames computed at once, which bounds the memory of a long video.
CHUNK = 2048

_project = jax.jit(project)


def covered_keypoints(
    joints: Float[np.ndarray, "people frames joints 3"],
    keypoints: Float[np.ndarray, "people frames joints 2"],
    hidden: Bool[np.ndarray, "people frames joints"],
    camera: Camera,
    skeleton: Skeleton,
    fps: float,
) -> Bool[np.ndarray, "people frames joints"]:
    """True for seen keypoints that lie on somebody who is nearer to the camera, and there on the joint of the
    same or of the mirrored name.

    joints: metres in camera axes, as they were lifted, NaN where nobody is; such a person covers nobody and
    is not covered. keypoints: pixels, anything where ``hidden``. camera: of the whole video.

    A person's limbs are capsules (`synthetic.bodies.BONE_RADII`) between their keypoints in the image, and
    between the images of ``joints`` where keypoints are hidden. Who is nearer is told by the hips' distance
    from the camera. Where one person's keypoints are on the other's, both seem to be equally far: distances
    are then those of the frames before and after, interpolated.
    """
    people, frames = hidden.shape[:2]
    covered = np.zeros(hidden.shape, bool)
    present = np.isfinite(joints).all(axis=(-1, -2))
    joints = np.where(present[..., None, None], joints, [0.0, 0.0, 1.0])
    image = np.asarray(_project(laid_out(joints.astype(np.float32), 1.0), camera))[:people, :frames]
    seen = ~hidden & present[..., None]
    outline = np.where(seen[..., None], keypoints, image)
    focal = float(np.mean(np.asarray(camera.focal)))
    for one in range(people):
        for other in range(one + 1, people):
            pair = [one, other]
            both = present[pair].all(axis=0)
            depth = joints[pair, :, 0, 2]
            metres = depth.mean(axis=0)[:, None] / focal
            same, mirrored = (
                np.linalg.norm(outline[one] - outline[other][:, order], axis=-1) * metres < TOGETHER
                for order in (list(range(len(skeleton.names))), list(skeleton.mirror))
            )
            farther = _depth_apart(depth, same | mirrored, seen[pair], both)
            # Whose joint of a mirrored name it is depends on who asks.
            together = {one: same | mirrored, other: same | mirrored[:, list(skeleton.mirror)]}
            for behind, front, frame in (
                (one, other, np.flatnonzero(both & (farther > 0))),
                (other, one, np.flatnonzero(both & (farther < 0))),
            ):
                for part in np.split(frame, range(CHUNK, len(frame), CHUNK)):
                    on = _on_limbs(
                        outline[behind, part], outline[front, part], joints[front, part], focal, skeleton
                    )
                    covered[behind, part] |= on & together[behind][part] & seen[behind, part]
    lost = np.all(hidden | covered, axis=-1)
    for person in range(people):
        for begin, end in runs(lost[person]):
            if end - begin > LONGEST_COVERED * fps:
                covered[person, begin:end] = False
    return covered


def _depth_apart(depth: np.ndarray, together: np.ndarray, seen: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Metres by which the first of two people is farther away, on every frame.

    depth (2, F): metres. together (F, J): keypoints that are on the other's. both (F,): both are there.
    """
    apart = depth[0] - depth[1]
    compared = seen.all(axis=0)
    count = compared.sum(axis=-1)
    told = both & (count >= LEAST_COMPARED) & ((compared & together).sum(axis=-1) < TOGETHER_SHARE * count)
    if not told.any():
        return np.asarray(apart)
    frames = np.arange(len(apart))
    return np.interp(frames, frames[told], apart[told])


def _on_limbs(
    keypoints: np.ndarray, outline: np.ndarray, joints: np.ndarray, focal: float, skeleton: Skeleton
) -> np.ndarray:
    """Keypoints (F, J, 2) within the limbs of somebody whose joints have the images ``outline`` (F, J, 2)."""
    bones = np.array(skeleton.bones, int).reshape(-1, 2)
    radius = np.array([BONE_RADII.get(skeleton.names[child], OTHER_RADIUS) for _, child in bones])
    depth = np.maximum(joints[:, bones, 2].mean(axis=-1), 0.1)
    start, end = outline[:, None, bones[:, 0]], outline[:, None, bones[:, 1]]
    along, to = end - start, keypoints[:, :, None] - start
    length = np.maximum((along**2).sum(axis=-1), 1e-9)
    share = np.clip((to * along).sum(axis=-1) / length, 0, 1)
    distance = np.linalg.norm(to - share[..., None] * along, axis=-1)
    return np.asarray((distance < (radius * focal / depth)[:, None]).any(axis=-1))
