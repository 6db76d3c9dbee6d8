"""How the frames of a stream lie among those of a network that runs at its own rate.

The network is given the newest frame there was at each of its own times, as `observation.observe_clip` gives
it to causal networks, and its answers are interpolated for the times of the stream's frames. At 30 frames a
second before a network of 50:

    stream    0        1        2        3        4
    network   0    1    2    3    4    5    6          reads stream frame 0 0 1 1 2 3 3
    frame 1 of the stream, 33 ms, is 1/3 of network frame 1 (20 ms) and 2/3 of network frame 2 (40 ms)
"""

import math
from typing import NamedTuple

# Frames: places are on a frame that they miss by less, as `observation._between` has it.
NEAR = 1e-3


class Beat(NamedTuple):
    """What the network does when a frame of the stream comes; `lower` and `upper` count its steps of this
    frame from 0, and −1 is its last kept step before.

    steps: how many frames of the network are computed, one at least. kept: how many of them stay; one that
    does not stay answers for a time at which a later frame of the stream will be the newest.
    later: seconds from the frame of the stream to the first of them.
    lower, upper, share: the answer is (1 − share) of one and share of the other.
    """

    steps: int
    kept: int
    later: float
    lower: int
    upper: int
    share: float


def beat(frame: int, rate: float, network_rate: float) -> Beat:
    """For frame number ``frame`` of the stream, from 0. rate, network_rate: frames a second of the two."""
    done, due = kept_before(frame, rate, network_rate), kept_before(frame + 1, rate, network_rate)
    place = frame * network_rate / rate
    lower = math.floor(place + NEAR)
    share = place - lower
    if share < NEAR:
        share = 0.0
    upper = lower + (share > 0)
    steps = max(due, upper + 1, done + 1) - done
    return Beat(steps, due - done, done / network_rate - frame / rate, lower - done, upper - done, share)


def kept_before(frame: int, rate: float, network_rate: float) -> int:
    """How many frames of the network, from its first, read a frame of the stream before this one."""

    def shown(network_frame: int) -> int:
        return math.floor(network_frame * rate / network_rate + NEAR)

    count = math.ceil(frame * network_rate / rate) + 1
    while count > 0 and shown(count - 1) >= frame:
        count -= 1
    return count
