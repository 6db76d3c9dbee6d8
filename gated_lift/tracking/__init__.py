"""Who is who: from the rows of a detector's file to one track a person."""

from gated_lift.tracking.clusters import LinkSettings as LinkSettings
from gated_lift.tracking.online import Frame as Frame
from gated_lift.tracking.online import OnlineSettings as OnlineSettings
from gated_lift.tracking.online import OnlineState as OnlineState
from gated_lift.tracking.online import start as start
from gated_lift.tracking.online import step as step
from gated_lift.tracking.track import track as track
