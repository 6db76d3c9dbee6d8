"""3D joints and paths of several people in a video who hide each other.

The rooms `networks`, `readers`, `synthetic` and `drawing` are imported by name.
"""

from gated_lift import metrics as metrics
from gated_lift import occlusion as occlusion
from gated_lift.cameras import Extrinsics as Extrinsics
from gated_lift.cameras import HandheldCamera as HandheldCamera
from gated_lift.cameras import VirtualCamera as VirtualCamera
from gated_lift.clips import MotionClip as MotionClip
from gated_lift.live import Live as Live
from gated_lift.live import LiveFrame as LiveFrame
from gated_lift.live import start_live as start_live
from gated_lift.live import step_live as step_live
from gated_lift.networks.attention import AttentionLifter as AttentionLifter
from gated_lift.networks.checkpoints import LoadedLifter as LoadedLifter
from gated_lift.networks.checkpoints import load_lifter as load_lifter
from gated_lift.networks.factorized import FactorizedLifter as FactorizedLifter
from gated_lift.networks.protocol import check_values as check_values
from gated_lift.networks.protocol import lift_clip as lift_clip
from gated_lift.networks.sequence import SequenceLifter as SequenceLifter
from gated_lift.networks.temporal import TemporalLifter as TemporalLifter
from gated_lift.people import Detections as Detections
from gated_lift.people import LiftedPeople as LiftedPeople
from gated_lift.people import Tracks as Tracks
from gated_lift.pipeline import Recovery as Recovery
from gated_lift.pipeline import has_path as has_path
from gated_lift.pipeline import recover as recover
from gated_lift.pipeline import solved as solved
from gated_lift.readers.detections import read_detections as read_detections
from gated_lift.recovery.lifting import lift as lift
from gated_lift.skeleton import BODY_25 as BODY_25
from gated_lift.skeleton import BODY_25B as BODY_25B
from gated_lift.skeleton import COCO_17 as COCO_17
from gated_lift.skeleton import COCO_18 as COCO_18
from gated_lift.skeleton import COCO_133 as COCO_133
from gated_lift.skeleton import H36M_17 as H36M_17
from gated_lift.skeleton import HALPE_26 as HALPE_26
from gated_lift.skeleton import MEDIAPIPE_33 as MEDIAPIPE_33
from gated_lift.skeleton import VITPOSE_25 as VITPOSE_25
from gated_lift.skeleton import Skeleton as Skeleton
from gated_lift.synthetic.bodies import body_occlusion as body_occlusion
from gated_lift.synthetic.detector import DetectorConfig as DetectorConfig
from gated_lift.tracking import track as track
from gated_lift.video.lift import lift_file as lift_file
from gated_lift.video.lift import lift_tracks as lift_tracks
