"""Joints as markers, for programs of motion analysis: names, and which people are there to be written."""

from gated_lift.skeleton import Skeleton

# Pose2Sim's names for joints that its models define alike, so that OpenSim's scaling and marker files for
# them work. Its Neck lies 8 cm above the line of the shoulders and its Nose is the nose: H36M_17's thorax and
# neck are neither, and have names of their own that those files ignore.
_NAMES = {
    **{f"{side}_{joint}": side[0].upper() + joint.capitalize() for side in ("left", "right")
       for joint in ("hip", "knee", "ankle", "heel", "shoulder", "elbow", "wrist", "eye", "ear")},
    **{f"{side}_{toe}_toe": f"{side[0].upper()}{toe.capitalize()}Toe" for side in ("left", "right")
       for toe in ("big", "small")},
    "hip": "Hip",
    "head": "Head",
    "nose": "Nose",
    "neck_base": "Neck",
    "neck": "SkullBase",
}  # fmt: skip


def marker_names(skeleton: Skeleton) -> tuple[str, ...]:
    """One name a joint, in the skeleton's order: Pose2Sim's, or the joint's own without underscores."""
    return tuple(
        _NAMES.get(name, "".join(part.capitalize() for part in name.split("_"))) for name in skeleton.names
    )
