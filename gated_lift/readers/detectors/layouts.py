"""Which skeleton an array of joints is in: by their number, by geometry, or by their names."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gated_lift.skeleton import (
    BODY_25,
    BODY_25B,
    H36M_17,
    SKELETONS,
    VITPOSE_25,
    Skeleton,
)

# Distances below as shares of the diagonal of the person's box.
# Joints that are the middle of two others by definition: a network's answers scatter by less than half of
# this, and other joints lie farther off than this.
MIDDLE = 0.1
# The nose, eyes and ears that come first in the other two lie this close together, and BODY_25's neck and
# right arm, in the same places, do not.
FACE = 0.15

# Joints that a file may name.
MAX_NAMES = 1000

# Words that files have for a joint of ours.
_SYNONYMS = {
    **dict.fromkeys(("mid_hip", "hips", "pelvis", "hip_center", "hip_centre", "center_hip"), "hip"),
    **dict.fromkeys(("head_top", "top_head", "headtop", "tophead"), "head"),
    **dict.fromkeys(("upper_neck", "neck_top"), "neck"),
    **dict.fromkeys(("base_neck", "neck_bottom", "lower_neck", "neckbase"), "neck_base"),
}
_PARTS = "eye|ear|shoulder|elbow|wrist|hip|knee|ankle|heel|big_?toe|small_?toe|hand|foot"


def skeleton_of(
    count: int,
    candidates: Sequence[Skeleton],
    given: Skeleton | None,
    path: Path,
    keypoints: Float[np.ndarray, "rows joints 2"] | None = None,
    confidence: Float[np.ndarray, "rows joints"] | None = None,
) -> Skeleton:
    """The skeleton with so many joints: the given one, or the only candidate, or the candidate of 25 joints
    that the geometry of ``keypoints`` (rows, joints, 2) tells for certain.

    Raises ValueError where the given one has another number of joints, no candidate fits, or several do.
    """
    if given is not None:
        if given.num_joints != count:
            raise ValueError(
                f"{path} has {count} joints a person, skeleton {given.name} has {given.num_joints}: leave "
                "skeleton out, or name the one that the detector was trained on"
            )
        return given
    fitting = [each for each in candidates if each.num_joints == count]
    if not fitting:
        known = ", ".join(f"{each.num_joints} ({each.name})" for each in candidates)
        raise ValueError(
            f"{path} has {count} joints a person, and the format {known}: name a skeleton, or give another "
            "file"
        )
    if len(fitting) > 1 and count == 25 and keypoints is not None and confidence is not None:
        told = tell_25(keypoints, confidence)
        fitting = [each for each in fitting if told in (None, each)] or fitting
    if len(fitting) > 1:
        raise ValueError(
            f"{path} has {count} joints a person, which are "
            f"{' or '.join(each.name for each in fitting)}: name the skeleton"
        )
    return fitting[0]


def tell_25(
    keypoints: Float[np.ndarray, "rows 25 2"], confidence: Float[np.ndarray, "rows 25"]
) -> Skeleton | None:
    """Which skeleton of 25 joints people are in, or None where that is not certain.

    BODY_25's joint 8 is the middle of joints 9 and 12 and its first joints are the nose and the right arm;
    the other two begin with the face, and VITPOSE_25 has the middle of joints 12 and 13 as its 14. keypoints:
    (rows, 25, 2), any unit; confidence: (rows, 25). Medians over people decide.
    """
    visible = (confidence > 0) & (np.abs(keypoints) < 1e6).all(axis=-1) & (keypoints != 0).any(axis=-1)
    kept = visible.sum(axis=1) >= 8
    if not kept.any():
        return None
    visible, keypoints = visible[kept][..., None], keypoints[kept]
    high = np.where(visible, keypoints, -np.inf).max(axis=1)
    low = np.where(visible, keypoints, np.inf).min(axis=1)
    size = np.maximum(np.linalg.norm(high - low, axis=-1), 1e-9)
    points = np.where(visible, keypoints, np.nan)

    def middle(joint: int, first: int, second: int) -> float:
        distance = np.linalg.norm(points[:, joint] - (points[:, first] + points[:, second]) / 2, axis=-1)
        return _median(distance / size)

    face = np.linalg.norm(points[:, 1:5] - points[:, :1], axis=-1) / size[:, None]
    # A neck alone, beside a nose, would look like a face.
    known = np.isfinite(face)
    spread = _median(np.where(known, face, 0).max(axis=1)[known.sum(axis=1) >= 3])
    hip = middle(8, 9, 12)
    if hip < MIDDLE / 2 and middle(1, 2, 5) < MIDDLE and spread > FACE:
        return BODY_25
    if hip > MIDDLE and spread < FACE:
        vitpose = middle(14, 12, 13)
        if not np.isnan(vitpose):
            return VITPOSE_25 if vitpose < MIDDLE / 2 else BODY_25B
    return None


def named_skeleton(
    names: Sequence[str], given: Skeleton | None, name: str, path: Path
) -> tuple[Skeleton, list[int]]:
    """A skeleton for joints that users name, and for each of its joints the index into ``names`` or -1.

    Names are compared without regard to capitals, separators and where the side stands: ``LShoulder``,
    ``shoulder_l`` and ``left shoulder`` are ``left_shoulder``. given: the caller's skeleton, whose joints are
    looked up in ``names``. Without it the known skeleton that has just these joints is meant, and otherwise a
    new one, called ``name``, is made of all of them.

    Raises ValueError for more than MAX_NAMES names, names that come twice, and a given skeleton none of whose
    joints is named.
    """
    if len(names) > MAX_NAMES:
        raise ValueError(
            f"{path} names {len(names)} joints, more than {MAX_NAMES}: name the joints of people"
        )
    plain = [plain_name(each) for each in names]
    twice = next((each for index, each in enumerate(plain) if each in plain[:index]), None)
    if twice is not None:
        raise ValueError(f"{path} names the joint {twice} twice: name each joint once")
    skeleton = given or next((each for each in SKELETONS.values() if set(each.names) == set(plain)), None)
    if skeleton is None:
        skeleton = _tree(plain, f"{name}_{len(plain)}")
    index = [plain.index(each) if each in plain else -1 for each in skeleton.names]
    if max(index) < 0:
        raise ValueError(
            f"{path} names the joints {', '.join(plain[:5])} …, none of which {skeleton.name} has: name "
            "joints as gated_lift.skeleton does, or leave skeleton out"
        )
    return skeleton, index


def plain_name(name: str) -> str:
    """A joint's name as `gated_lift.skeleton` writes it."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=\b[LR])(?=[A-Z][a-z])", "_", name.strip())
    words = [word for word in re.split(r"[\s_\-.]+", spaced.lower()) if word]
    joined = "_".join(words)
    match = re.fullmatch(rf"([lr])({_PARTS})", joined) or re.fullmatch(rf"(left|right)({_PARTS})", joined)
    if match:
        words = [match[1], match[2]]
    side = next((word for word in words if word in ("l", "r", "left", "right")), None)
    if side is not None:
        words.remove(side)
        words.insert(0, {"l": "left", "r": "right"}.get(side, side))
    plain = "_".join(words).replace("bigtoe", "big_toe").replace("smalltoe", "small_toe")
    return _SYNONYMS.get(plain, plain)[:80]


def take(
    values: Float[np.ndarray, "rows names *coordinates"], index: Sequence[int]
) -> Float[np.ndarray, "rows joints *coordinates"]:
    """Joints by `named_skeleton`'s index from (rows, joints, ...); NaN for those without."""
    taken = values[:, [max(each, 0) for each in index]].astype(np.float64)
    taken[:, [each < 0 for each in index]] = np.nan
    return taken


def _tree(names: Sequence[str], name: str) -> Skeleton:
    """A skeleton of any names: known joints hang from the nearest of the known skeletons' joints that is
    there, others from the first joint.
    """
    root = "hip" if "hip" in names else names[0]
    parent = {each: root for each in names if each != root}
    for each in parent:
        for known in (H36M_17, *SKELETONS.values()):
            above = _nearest(each, known, names)
            if above is not None and not _leads_to(above, each, parent):
                parent[each] = above
                break
    order = [root]
    for joint in order:
        order += [each for each in names if each != root and parent[each] == joint]
    left = [
        each for each in order if each.startswith("left_") and each.replace("left_", "right_", 1) in parent
    ]
    return Skeleton(
        name=name,
        names=tuple(order),
        parents=tuple(order.index(parent[each]) if each != root else -1 for each in order),
        left=tuple(order.index(each) for each in left),
        right=tuple(order.index(each.replace("left_", "right_", 1)) for each in left),
    )


def _nearest(joint: str, known: Skeleton, names: Sequence[str]) -> str | None:
    if joint not in known.names:
        return None
    above = known.parents[known.names.index(joint)]
    while above >= 0 and known.names[above] not in names:
        above = known.parents[above]
    return known.names[above] if above >= 0 else None


def _leads_to(joint: str, wanted: str, parent: dict[str, str]) -> bool:
    while joint in parent and joint != wanted:
        joint = parent[joint]
    return joint == wanted


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
