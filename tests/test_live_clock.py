"""The frames of a stream among those of a network."""

import math

import pytest

from gated_lift.live.clock import beat, kept_before


@pytest.mark.parametrize("rate", [10.0, 25.0, 29.97, 50.0, 60.0, 120.0])
def test_every_frame_of_the_network_is_kept_once_and_reads_the_newest_frame(rate):
    done = 0
    for frame in range(61):
        now = beat(frame, rate, 50.0)
        assert now.kept == kept_before(frame + 1, rate, 50.0) - done >= 0
        assert abs(now.later - (done / 50 - frame / rate)) < 1e-9
        for network_frame in range(done, done + now.kept):
            assert math.floor(network_frame * rate / 50 + 1e-3) == frame
        # At most one guess, and the two answers around the frame are among the steps or the one before.
        assert max(now.kept, 1) <= now.steps <= now.kept + 1
        assert -1 <= now.lower <= now.upper <= now.lower + 1 and now.upper < now.steps
        assert abs(done + now.lower + now.share - frame * 50 / rate) < 1e-3
        done += now.kept
    assert done == kept_before(61, rate, 50.0)


def test_at_the_networks_own_rate_a_frame_is_a_step():
    for frame in (0, 1, 77, 1_000_003):
        assert beat(frame, 50.0, 50.0) == (1, 1, 0.0, 0, 0, 0.0)


def test_a_stream_at_thirty_a_second_has_the_beat_of_the_module():
    kept = [beat(frame, 30.0, 50.0).kept for frame in range(6)]
    assert kept == [2, 2, 1, 2, 2, 1]
    second = beat(1, 30.0, 50.0)
    assert (second.lower, second.upper) == (-1, 0) and second.share == pytest.approx(2 / 3)
