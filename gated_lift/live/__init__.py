"""People in 3D while they are filmed, frame by frame."""

from gated_lift.live.stream import Live as Live
from gated_lift.live.stream import LiveFrame as LiveFrame
from gated_lift.live.stream import start_live as start_live
from gated_lift.live.stream import step_live as step_live
