"""Frames at an even rate, for formats that hold a rate and no times."""

import numpy as np

from gated_lift.people import LiftedPeople
from gated_lift.video.times import at_times

TOLERANCE = 0.25  # of a frame: what a time may be off its even place and stay where it is


def evenly(people: LiftedPeople) -> LiftedPeople:
    """The same people on frames at t0, t0 + 1/fps, t0 + 2/fps, ... (`video.times.at_times`); unchanged where
    they are already. The last frame is the last that lies inside the clip.
    """
    times, fps = people.times, people.fps
    steps = (times - times[0]) * fps
    if np.all(np.abs(steps - np.arange(len(times))) <= TOLERANCE):
        return people
    # The small term keeps the last frame when the length is a whole number of frames but for rounding.
    every = np.arange(int(np.floor(steps[-1] + 1e-6)) + 1)
    return at_times(people, times[0] + every / fps)
