"""3D joints and paths of several people in a video who hide each other.

Rooms that draw (`pictures`, `charts`, `player`) and read files (`captures`, `videopose3d`) are imported by
name.
"""

from gated_lift import metrics as metrics
from gated_lift import occlusion as occlusion
from gated_lift.attention_lifter import AttentionLifter as AttentionLifter
from gated_lift.bodies import body_occlusion as body_occlusion
from gated_lift.cameras import Extrinsics as Extrinsics
from gated_lift.cameras import HandheldCamera as HandheldCamera
from gated_lift.cameras import VirtualCamera as VirtualCamera
from gated_lift.checkpoints import load_lifter as load_lifter
from gated_lift.clips import MotionClip as MotionClip
from gated_lift.detector import DetectorConfig as DetectorConfig
from gated_lift.factorized_lifter import FactorizedLifter as FactorizedLifter
from gated_lift.lifter import TemporalLifter as TemporalLifter
from gated_lift.lifter import check_values as check_values
from gated_lift.lifter import lift_clip as lift_clip
from gated_lift.pipeline import Recovery as Recovery
from gated_lift.pipeline import recover as recover
from gated_lift.sequence_lifter import SequenceLifter as SequenceLifter
from gated_lift.skeleton import BODY_25 as BODY_25
from gated_lift.skeleton import COCO_17 as COCO_17
from gated_lift.skeleton import H36M_17 as H36M_17
from gated_lift.skeleton import Skeleton as Skeleton
