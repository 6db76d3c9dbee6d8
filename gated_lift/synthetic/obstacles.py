"""What hides people in a scene besides people: a table or the picture's edge, something before a limb, a side
or a whole person. Everything follows from raw words of NumPy's PCG64, as in `gated_lift.synthetic.placing`.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from gated_lift.skeleton import Skeleton
from gated_lift.synthetic.hiding import branches

ObstacleKind = Literal["edge", "limb", "side", "whole"]

# How far down from the hips to the ankles an edge is, as a share.
EDGE = (0.1, 0.8)
# A person is hidden whole for at least this share of the longest time, and at most for so much of the scene.
WHOLE_LEAST, WHOLE_MOST = 0.4, 0.6


class Obstacles(NamedTuple):
    """One kind of obstacle a scene, in turn over the scenes of a set.

    edge: what is lower in the picture than a row between the hips and the ankles is hidden of everybody for
    the whole scene, as below a table or where the picture ends. limb: of each person an arm or a leg from a
    joint on, such as a forearm. side: of each person the left or the right arm and leg. Limbs and sides are
    hidden for the whole scene or from one frame to another. whole: one of the two for up to ``longest``
    seconds, neither at the beginning nor at the end.
    """

    kinds: tuple[ObstacleKind, ...] = ("edge", "limb", "side", "whole")
    longest: float = 4.0


class Drawn(NamedTuple):
    """The obstacle of a scene. behind: joints that it hides wherever they are. edge: the row below which
    joints are hidden, as a share of the way from the hips to the ankles; infinite for none.
    """

    behind: Bool[np.ndarray, "2 frames joints"]
    edge: float


def draw_obstacle(
    words: np.random.PCG64, kind: ObstacleKind, frames: int, fps: float, longest: float, skeleton: Skeleton
) -> Drawn:
    """The obstacle of one scene of two people. Raises ValueError for an unknown kind."""

    def uniform(low: float, high: float) -> float:
        # NumPy keeps the stream of raw words, but not that of its distributions.
        return low + (high - low) * (int(words.random_raw()) >> 11) * 2.0**-53

    def pick(count: int) -> int:
        return int(uniform(0.0, float(count)))

    behind = np.zeros((2, frames, skeleton.num_joints), bool)
    if kind == "edge":
        return Drawn(behind, uniform(*EDGE))
    if kind == "whole":
        length = int(uniform(WHOLE_LEAST, 1.0) * min(longest * fps, WHOLE_MOST * frames))
        start = int(uniform(0.1, 0.9) * (frames - length))
        behind[pick(2), start : start + length] = True
        return Drawn(behind, np.inf)
    if kind == "limb":
        below = branches(skeleton)
        shapes = [below[joint] for joint in (*skeleton.left, *skeleton.right) if below[joint].sum() > 1]
    elif kind == "side":
        shapes = [np.isin(np.arange(skeleton.num_joints), side) for side in (skeleton.left, skeleton.right)]
    else:
        raise ValueError(f"kind is {kind!r}: choose from edge, limb, side, whole")
    for person in behind:
        joints = shapes[pick(len(shapes))]
        lasts = uniform(0.0, 1.0) < 0.5
        ends = sorted(int(uniform(0.0, frames + 1.0)) for _ in range(2))
        person[slice(None) if lasts else slice(*ends)] = joints
    return Drawn(behind, np.inf)
