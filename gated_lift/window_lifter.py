"""What the networks that lift a window of fixed length have in common."""

from jaxtyping import Array

from gated_lift.lifter import Target, check_keypoints
from gated_lift.occlusion import Fill


class WindowLifter:
    """The part of `lifter.Lifter` that follows from this: ``window`` frames of filled keypoints go in, and as
    many root-relative poses come out.
    """

    window: int

    @property
    def fill(self) -> Fill:
        return "interpolate"

    @property
    def causal(self) -> bool:
        return False

    @property
    def target(self) -> Target:
        return "pose"

    @property
    def receptive_field(self) -> int:
        return self.window

    @property
    def padding(self) -> tuple[int, int]:
        """None: in training every frame of a window is an output."""
        return 0, 0


def check_window(keypoints: Array, occluded: Array, num_joints: int, window: int) -> None:
    """Raises ValueError unless the arrays are windows of that many frames (`check_keypoints` besides)."""
    check_keypoints(keypoints, occluded, num_joints)
    if keypoints.ndim != 4 or keypoints.shape[1] != window:
        raise ValueError(
            f"keypoints has shape {keypoints.shape}: the network takes (batch, {window} frames, joints, 2); "
            "use lift_clip, which cuts clips into windows"
        )
