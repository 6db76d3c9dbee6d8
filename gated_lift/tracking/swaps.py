"""Keypoints that a detector put onto somebody else, or onto the other side: found, so that they are hidden.

Neither is mended here: what is known is that the keypoint is not where the joint is.
"""

import numpy as np
from jaxtyping import Bool, Float

from gated_lift.clips import runs
from gated_lift.tracking.figure import Figure, sizes

# Two limbs are exchanged together: detectors mistake the arms, the legs, or both.
SHORTEST_LIMB = 0.04  # heights between left and right below which nobody can tell that they were exchanged
# An exchange is believed when it explains the motion so much better, in squared noise, and lasts at most so
# many seconds: after that, left is what was called left for longer.
EVIDENCE, LONGEST_EXCHANGE = 9.0, 0.6
NOISE, MOTION = 0.02, 0.3  # heights, and heights a second, by which a limb leaves a straight line
# A joint has jumped when it is so far, in heights, from where its own motion leads, and grows so much farther
# a second of prediction; and it is on somebody when it is so near to that person's keypoint.
JUMP, JUMP_RATE, ON_SOMEBODY = 0.05, 0.15, 0.03
# A prediction is worth nothing after so many seconds.
REMEMBERED = 0.7


def taken_back(
    keypoints: Float[np.ndarray, "people frames joints 2"],
    hidden: Bool[np.ndarray, "people frames joints"],
    times: Float[np.ndarray, " frames"],
    figure: Figure,
) -> Bool[np.ndarray, "people frames joints"]:
    """True for seen keypoints that are somebody else's or the other side's.

    keypoints: pixels, anything where ``hidden``. times: seconds of every frame.
    Exchanged: over short stretches the person's left moves on where right was and right where left was, for
    arms or legs together (`exchanged`). On somebody: a keypoint is far from where the joint's own motion
    leads, from before and from after, and on another person's keypoint of that name or of its mirrored name
    (`on_somebody`).
    """
    people, frames = keypoints.shape[:2]
    if not people or not frames:
        return np.zeros(hidden.shape, bool)
    seen = ~hidden & np.isfinite(keypoints).all(axis=-1)
    filled = np.where(seen[..., None], keypoints, 0.0)
    size = np.ones(people)
    for person in range(people):
        found = sizes(filled[person], seen[person], figure)
        if np.isfinite(found).any():
            size[person] = np.nanmedian(found)
    back = np.zeros(hidden.shape, bool)
    for person in range(people):
        back[person] = exchanged(filled[person], seen[person], times, size[person], figure)
    left = seen & ~back
    if people > 1:
        for person in range(people):
            back[person] |= on_somebody(filled, left, times, size[person], person, figure)
    return back & seen


def exchanged(
    keypoints: Float[np.ndarray, "frames joints 2"],
    seen: Bool[np.ndarray, "frames joints"],
    times: Float[np.ndarray, " frames"],
    size: float,
    figure: Figure,
) -> Bool[np.ndarray, "frames joints"]:
    """Frames on which the left and right of a person's arms or legs stand exchanged.

    Every frame is in one of two states, as reported or exchanged. Between neighbouring frames each joint
    moves from its own last place or from its partner's, and the squared distance, in units of noise and
    motion, is what the step costs; the cheapest sequence of states is found by dynamic programming
    (Viterbi 1967). Its shorter stretches are the exchanges, where `EVIDENCE` and `LONGEST_EXCHANGE` allow.
    """
    result = np.zeros(seen.shape, bool)
    pairs = np.array([(a, b) for a, b in enumerate(figure.mirror) if a < b], int).reshape(-1, 2)
    upper = np.asarray(np.nan_to_num(figure.height[pairs[:, 0]], nan=1.0) > 0.53)
    # Wrists and elbows have heights of hanging arms: an arm is what reaches above the hips.
    for group in (pairs[upper], pairs[~upper]):
        if len(group):
            result |= _exchanged_group(keypoints, seen, times, size, group)
    return result


def _exchanged_group(
    keypoints: np.ndarray, seen: np.ndarray, times: np.ndarray, size: float, pairs: np.ndarray
) -> np.ndarray:
    both: np.ndarray = np.asarray(seen[:, pairs].all(axis=-1))
    frames = np.flatnonzero(both.any(axis=1))
    result = np.zeros(seen.shape, bool)
    if len(frames) < 3:
        return result
    gain = np.zeros(len(frames))  # what it costs more to stay than to exchange, for every step
    last = keypoints[frames[0]][pairs] / size
    last_time = np.full(len(pairs), times[frames[0]])
    known = both[frames[0]].copy()
    for number, frame in enumerate(frames[1:], start=1):
        here, use = keypoints[frame][pairs] / size, both[frame] & known
        room = NOISE**2 + (MOTION * (times[frame] - last_time)) ** 2
        straight = ((here - last) ** 2).sum(axis=(-1, -2)) / room
        crossed = ((here - last[:, ::-1]) ** 2).sum(axis=(-1, -2)) / room
        # A wild point of one pair must not outvote the others.
        apart = np.linalg.norm(here[:, 0] - here[:, 1], axis=-1) > SHORTEST_LIMB
        gain[number] = np.where(use & apart, np.clip(straight - crossed, -30, 30), 0.0).sum()
        last = np.where(both[frame][:, None, None], here, last)
        last_time = np.where(both[frame], times[frame], last_time)
        known |= both[frame]
    # The state changes wherever exchanging is cheaper by more than the evidence that a change needs.
    cost = np.zeros(2)
    came = np.zeros((len(frames), 2), int)
    for number in range(1, len(frames)):
        stay, change = cost, cost[::-1] - gain[number] + EVIDENCE
        came[number] = np.where(stay <= change, [0, 1], [1, 0])
        cost = np.minimum(stay, change)
        cost = cost - cost.min()
    state = np.zeros(len(frames), int)
    state[-1] = int(cost.argmin())
    for number in range(len(frames) - 1, 0, -1):
        state[number - 1] = came[number][state[number]]
    if state.mean() > 0.5:
        state = 1 - state
    for begin, end in runs(state == 1):
        stretch = frames[begin:end]
        if times[stretch[-1]] - times[stretch[0]] <= LONGEST_EXCHANGE:
            result[np.ix_(stretch, pairs.ravel())] = True
    return result


def on_somebody(
    keypoints: Float[np.ndarray, "people frames joints 2"],
    seen: Bool[np.ndarray, "people frames joints"],
    times: Float[np.ndarray, " frames"],
    size: float,
    person: int,
    figure: Figure,
) -> Bool[np.ndarray, "frames joints"]:
    """Keypoints of ``person`` that jumped onto another person's; ``size``: the person's height in pixels."""
    own, visible = keypoints[person], seen[person]
    others = [other for other in range(len(keypoints)) if other != person]
    near = np.zeros(visible.shape, bool)
    for other in others:
        for order in (list(range(visible.shape[1])), list(figure.mirror)):
            apart = np.linalg.norm(own - keypoints[other][:, order], axis=-1)
            near |= visible & seen[other][:, order] & (apart <= ON_SOMEBODY * size)
    if not near.any():
        return near
    before, known_before = _jumped(own, visible, near, times, size)
    after, known_after = (
        flags[::-1] for flags in _jumped(own[::-1], visible[::-1], near[::-1], -times[::-1], size)
    )
    return near & before & after & (known_before | known_after)


def _jumped(
    own: np.ndarray, visible: np.ndarray, near: np.ndarray, times: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where a joint is far from where its motion leads, or nothing tells that; and where something does."""
    frames, joints = visible.shape
    jumped, told = np.zeros(visible.shape, bool), np.zeros(visible.shape, bool)
    place, speed = np.zeros((joints, 2)), np.zeros((joints, 2))
    since = np.full(joints, -np.inf)
    for frame in range(frames):
        passed = times[frame] - since
        known = passed <= REMEMBERED
        passed = np.where(known, passed, 0.0)
        expected = place + speed * passed[:, None]
        apart = np.linalg.norm(own[frame] - expected, axis=-1) / size
        far = ~known | (apart > JUMP + JUMP_RATE * passed)
        jumped[frame], told[frame] = far & near[frame], known
        taken = visible[frame] & ~jumped[frame]
        with_speed = taken & known & (passed > 0)
        keep = np.exp(-passed / 0.1)[:, None]
        moved = (own[frame] - place) / np.where(passed > 0, passed, 1.0)[:, None]
        # A gross error gives no speed.
        limit = np.linalg.norm(moved, axis=-1, keepdims=True) / size
        moved = moved / np.maximum(limit / 3.0, 1.0)
        speed = np.where(with_speed[:, None], keep * speed + (1 - keep) * moved, speed)
        speed = np.where((taken & ~known)[:, None], 0.0, speed)
        place = np.where(taken[:, None], own[frame], place)
        since = np.where(taken, times[frame], since)
    return jumped, told
