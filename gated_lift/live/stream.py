"""People in 3D while they are filmed: a frame's keypoints in, everybody's joints on that frame out.

    live = start_live(load_lifter("causal"), camera, fps=30.0, people=2, skeleton=COCO_17)
    for keypoints, confidence in detector:
        live, frame = step_live(live, keypoints, confidence)

Every person has a slot of one compiled program, and nothing grows with the number of frames.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gated_lift import tracking
from gated_lift.live.clock import Beat, beat
from gated_lift.live.observing import GapState, fill_frame, forget_gaps, start_gaps, turn_frame
from gated_lift.networks.checkpoints import LoadedLifter, without_weights
from gated_lift.networks.protocol import Hints, readable
from gated_lift.networks.streaming import (
    Folded,
    NetworkState,
    check_streaming,
    fold,
    start_network,
    step_averaged,
)
from gated_lift.readers.detectors.rows import are_shares
from gated_lift.recovery.arguments import check_fps, read_up
from gated_lift.recovery.inspection import inspect
from gated_lift.recovery.observation import turn_back, turn_to
from gated_lift.skeleton import Missing, Skeleton, convert
from gated_lift.video.lift import better_missing
from solvers import Camera, StreamState, TrajectoryConfig, feed, forget, normalize, start_stream

FREE = -1  # stands for an id where nobody is

# Seconds: whoever has not been seen for so long gives way to newcomers if no slot is free. Often it is the
# same person, under another id.
GIVES_WAY = 0.25


class Settings(NamedTuple):
    """What a stream is compiled for. lifter: without its weights. skeleton: of the keypoints that come."""

    lifter: LoadedLifter
    skeleton: Skeleton
    missing: Missing
    fps: float
    flip: bool


class LiftState(NamedTuple):
    """What lifting keeps of earlier frames, one entry a slot.

    started: the slot's person has been given to the network. last: the newest pose on the network's frames,
    camera axes.
    """

    gaps: GapState
    direction: Float[Array, "people 3"]
    started: Bool[Array, " people"]
    last: Float[Array, "people joints 3"]
    network: NetworkState


class Live(NamedTuple):
    """A stream between two frames, of fixed size; `step_live` makes the next one.

    ids: who is in each slot, `FREE` where nobody is. here: frames since each of them came, unseen: since
    they were last seen. up: the vertical in camera axes, if the network reads it. frame: number of the next
    frame, from 0. tracker: None once ids came with a frame.
    longest_gap: frames.
    """

    settings: Settings
    folded: dict[str, Folded]
    camera: Camera
    up: Float[Array, "1 3"] | None
    lift: LiftState
    path: StreamState
    tracker: tracking.OnlineState | None
    ids: tuple[int, ...]
    here: tuple[int, ...]
    unseen: tuple[int, ...]
    frame: int
    threshold: float
    longest_gap: int


class LiveFrame(NamedTuple):
    """Everybody on the frame that has just come, and the better path of ``lag`` frames before.

    ids: who they are, in rising order. joints: metres, camera axes, the sum of pose and root; root: of the
    person's middle; both NaN where ``status``, a `solvers.Status`, says that there is no path.
    lagged_root: of frame ``frame - lag``, which the frames since then have corrected; NaN for people who were
    not there yet.
    hidden: joints that were not seen on this frame, in the lifter's skeleton.
    left_out: ids of people for whom no slot was free.
    """

    frame: int
    lag: int
    ids: tuple[int, ...]
    joints: Float[np.ndarray, "people joints 3"]
    root: Float[np.ndarray, "people 3"]
    lagged_root: Float[np.ndarray, "people 3"]
    status: Int[np.ndarray, " people"]
    hidden: Bool[np.ndarray, "people joints"]
    left_out: tuple[int, ...]


def start_live(
    lifter: Any,
    camera: Camera,
    fps: Any,
    people: Any,
    skeleton: Skeleton,
    *,
    lag: Any = 0.5,
    threshold: Any = 0.3,
    longest_gap: Any = 1.5,
    up: Any = None,
    trajectory: TrajectoryConfig = TrajectoryConfig(loss="huber"),
    flip: bool = True,
) -> Live:
    """The state before the first frame. It compiles what all frames need, for seconds.

    lifter: a causal network (`load_lifter("causal")`), which answers as `lift` does for the last frame of the
        clip so far.
    camera: intrinsics, one for all; it stands still, or moves with everybody's path in its own axes.
    fps: frames a second that will come, at a steady rate. It need not be the network's.
    people: slots, as many people as are there at a time at most; each costs time on every frame.
    skeleton: of the keypoints that will come.
    lag: seconds by which `LiveFrame.lagged_root` is late.
    threshold: keypoints of less confidence count as hidden.
    longest_gap: seconds after which somebody who is not seen is no longer answered for.
    up (3,): the world's vertical in camera axes (`cameras.up_of`), for networks that read it.
    trajectory: settings of Eq. 9, see `solvers.start_stream`. flip: average over the mirror image.

    Raises ValueError, naming the argument and the mend, for a network that reads later frames, wrong frame
    rates and numbers, and for what `solvers.start_stream` refuses.
    """
    check_live(lifter, fps, people, lag, threshold, longest_gap)
    joints = lifter.skeleton.num_joints
    path = start_stream(people, joints, camera, trajectory, lag=max(round(lag * fps), 1), fps=fps)
    folded = fold(lifter.network, lifter.variables)
    live = Live(
        settings=Settings(
            without_weights(lifter), skeleton, better_missing(skeleton, lifter), float(fps), bool(flip)
        ),
        folded=folded,
        camera=Camera(*(None if value is None else jnp.asarray(value, jnp.float32) for value in camera)),
        up=read_up(lifter, up),
        lift=start_lift(lifter, folded, people, flip),
        path=path,
        tracker=tracking.start(skeleton, tracking.OnlineSettings(threshold=threshold, remember=longest_gap)),
        ids=(FREE,) * people,
        here=(0,) * people,
        unseen=(0,) * people,
        frame=0,
        threshold=float(threshold),
        longest_gap=max(round(longest_gap * fps), 1),
    )
    # Types and device as of what comes out of the programs, or each would be compiled twice.
    (device,) = folded["head"].kernel.devices()

    def settled(leaf: Any) -> Any:
        return jax.device_put(jnp.asarray(leaf, leaf.dtype), device) if isinstance(leaf, Array) else leaf

    live = jax.tree.map(settled, live)
    everybody, nobody = np.ones(people, bool), Rows.nobody(people, skeleton.num_joints)
    _advance(_forgotten(live, everybody), nobody)
    return live


def check_live(lifter: Any, fps: Any, people: Any, lag: Any, threshold: Any, longest_gap: Any) -> None:
    """The checks of `start_live`, for who cannot start one yet."""
    if not isinstance(lifter, LoadedLifter):
        raise ValueError(f"lifter is {type(lifter).__name__}: pass what load_lifter returns")
    check_streaming(lifter.network)
    check_fps(fps)
    if isinstance(people, bool) or not isinstance(people, int | np.integer) or people < 1:
        raise ValueError(f"people is {people!r}: pass a whole number, 1 at least")
    for name, value in (("lag", lag), ("longest_gap", longest_gap)):
        if not 0 < value < 1e6:
            raise ValueError(f"{name} is {value}: pass seconds, above zero")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}: pass a confidence from 0 to 1")


def start_lift(lifter: LoadedLifter, folded: dict[str, Folded], people: int, flip: bool) -> LiftState:
    """The state before anybody has come. folded: `networks.streaming.fold` of the lifter."""
    joints = lifter.skeleton.num_joints
    return LiftState(
        gaps=start_gaps(people, joints),
        direction=jnp.zeros((people, 3)),
        started=jnp.zeros(people, bool),
        last=jnp.zeros((people, joints, 3)),
        network=start_network(lifter.network, folded, 2 * people if flip else people),
    )


def step_live(
    live: Live,
    keypoints: Any,
    confidence: Any = None,
    ids: Sequence[int] | None = None,
    skipped: Any = 0,
) -> tuple[Live, LiveFrame]:
    """One frame more: the state after it, and everybody on it.

    keypoints (rows, J, 2): pixels, one row a person in any order, none where nobody is found; NaN and (0, 0)
        are hidden.
    confidence (rows, J): 0 to 1; without it every finite keypoint counts.
    ids: who the rows show, whole numbers from 0; on every frame that shows anybody, or on none: who is who is
        found out then (`tracking.step`), and rows with less than three joints are nobody's.
    skipped: frames since the last one that were lost; nobody was seen on them.

    Somebody who comes takes a free slot. Who is not seen keeps theirs, hidden, for the stream's
    ``longest_gap``. If none is free, whoever has been hidden longest, and for `GIVES_WAY`, gives way; if
    there is no such person, whoever comes is left out.

    Raises ValueError for wrong shapes, ids that come twice or only at times, and coordinates that are shares
    of the image; the state that was passed can be gone on with.
    """
    count = live.settings.skeleton.num_joints
    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (count, 2):
        raise ValueError(
            f"keypoints has shape {keypoints.shape}: pass (people, {count}, 2) in the joints of "
            f"{live.settings.skeleton.name}"
        )
    confidence = np.ones(keypoints.shape[:2]) if confidence is None else np.asarray(confidence, np.float64)
    if confidence.shape != keypoints.shape[:2]:
        raise ValueError(
            f"confidence has shape {confidence.shape}, keypoints {keypoints.shape}: pass one number a "
            "keypoint"
        )
    if isinstance(skipped, bool) or not isinstance(skipped, int | np.integer) or skipped < 0:
        raise ValueError(f"skipped is {skipped!r}: pass a whole number of frames, 0 or more")
    finite = np.isfinite(keypoints).all(-1) & (np.abs(keypoints) < 1e6).all(-1)
    visible = finite & (confidence >= live.threshold) & (keypoints != 0).any(-1)
    if are_shares(keypoints, visible):
        raise ValueError(
            "keypoints are shares of the image, not pixels: multiply them by its width and height"
        )
    frame = live.frame + int(skipped)
    tracker = live.tracker
    if ids is None:
        if tracker is None and len(keypoints):
            raise ValueError("ids are missing, and the frames before had them: pass them on every frame")
        who = [FREE] * len(keypoints)
        if tracker is not None:
            shown = np.where(visible[..., None], keypoints, np.nan)
            moment = tracking.Frame(frame / live.settings.fps, shown, np.where(visible, confidence, 0))
            tracker, found = tracking.step(tracker, moment)
            who = [int(each) for each in found]
    else:
        who = [int(each) for each in ids]
        if len(who) != len(keypoints) or min(who, default=0) < 0 or len(set(who)) < len(who):
            raise ValueError(f"ids are {who} for {len(keypoints)} people: pass one number from 0 for each")
        if who:
            if tracker is not None and tracker.next_id:
                raise ValueError(
                    "ids came, and the frames before had none: pass them on every frame, or never"
                )
            tracker = None

    # The frames that were lost pass with nobody on them, the older ones of a long gap without being counted.
    people = len(live.ids)
    nobody = Rows.nobody(people, count)
    lost = min(int(skipped), live.longest_gap + 1)
    live = live._replace(frame=frame - lost)
    for _ in range(lost):
        live, _ = _advance(_without_absent(live), nobody)
    live = _without_absent(live)

    # Who is there keeps their slot; newcomers with most to see come first.
    slots = {person: slot for slot, person in enumerate(live.ids) if person != FREE}
    free = [slot for slot, person in enumerate(live.ids) if person == FREE]
    waiting = [
        slot
        for slot, person in enumerate(live.ids)
        if person not in (FREE, *who) and live.unseen[slot] >= GIVES_WAY * live.settings.fps
    ]
    free += sorted(waiting, key=lambda slot: -live.unseen[slot])
    order = np.argsort(-visible.sum(axis=1), kind="stable")
    fresh, left_out, rows = np.zeros(people, bool), [], nobody.copied()
    for row in map(int, order):
        person = who[row]
        if person == FREE or not visible[row].any():
            continue
        if person not in slots:
            if not free:
                left_out.append(person)
                continue
            slots[person] = free.pop(0)
            fresh[slots[person]] = True
        slot = slots[person]
        rows.keypoints[slot] = np.where(visible[row][:, None], keypoints[row], 0)
        rows.hidden[slot] = ~visible[row]
        rows.confidence[slot] = np.where(visible[row], np.minimum(confidence[row], 1), 0)
    if fresh.any():
        live = _forgotten(live, fresh)
    # In this order: newcomers stand after those who gave way to them.
    names = {slot: person for person, slot in slots.items()}
    live = live._replace(ids=tuple(names.get(slot, FREE) for slot in range(people)), tracker=tracker)
    live, everybody = _advance(live, rows)
    return live, _frame_of(live, everybody, tuple(sorted(left_out)))


class Rows(NamedTuple):
    """One frame, one row a slot; NumPy's, so that the jitted function takes it at once."""

    keypoints: Float[np.ndarray, "people joints 2"]
    hidden: Bool[np.ndarray, "people joints"]
    confidence: Float[np.ndarray, "people joints"]

    @classmethod
    def nobody(cls, people: int, joints: int) -> "Rows":
        none = np.zeros((people, joints), np.float32)
        return cls(np.zeros((people, joints, 2), np.float32), np.ones((people, joints), bool), none)

    def copied(self) -> "Rows":
        return Rows(*(values.copy() for values in self))


class _Found(NamedTuple):
    """What was found of every slot on one frame."""

    poses: Array
    hidden: Array
    root: Array
    lagged: Array
    status: Array


def _without_absent(live: Live) -> Live:
    """Slots of whoever has not been seen for too long are free. The coming frame counts as one more."""
    kept = [gap < live.longest_gap for gap in live.unseen]
    return live._replace(
        ids=tuple(person if stays else FREE for person, stays in zip(live.ids, kept, strict=True))
    )


def _forgotten(live: Live, people: Bool[np.ndarray, " people"]) -> Live:
    lift, path = _forget(live.lift, live.path, people)
    here = tuple(0 if gone else frames for frames, gone in zip(live.here, people.tolist(), strict=True))
    return live._replace(lift=lift, path=path, here=here)


@jax.jit
def _forget(lift: LiftState, path: StreamState, people: Array) -> tuple[LiftState, StreamState]:
    gaps = forget_gaps(lift.gaps, people)
    return lift._replace(gaps=gaps, started=lift.started & ~people), forget(path, people)


def _advance(live: Live, rows: Rows) -> tuple[Live, _Found]:
    """Lifts and places one frame of everybody."""
    now = beat(live.frame, live.settings.fps, live.settings.lifter.network.fps)
    lift, poses, keypoints, hidden, confidence = lift_frame(
        live.settings, live.folded, live.camera, live.up, live.lift, rows, now
    )
    path, found = feed(live.path, poses, keypoints, hidden, confidence)
    seen = np.logical_not(rows.hidden).any(axis=1).tolist()
    live = live._replace(
        lift=lift,
        path=path,
        here=tuple(frames + 1 for frames in live.here),
        unseen=tuple(0 if shown else gap + 1 for gap, shown in zip(live.unseen, seen, strict=True)),
        frame=live.frame + 1,
    )
    return live, _Found(poses, hidden, found.root, found.lagged, found.status)


@partial(jax.jit, static_argnums=0)
def lift_frame(
    settings: Settings,
    folded: dict[str, Folded],
    camera: Camera,
    up: Float[Array, "1 3"] | None,
    state: LiftState,
    rows: Rows,
    now: Beat,
) -> tuple[LiftState, Array, Array, Array, Array]:
    """The state after a frame, and the poses, keypoints, hidden joints and confidences of everybody on it, in
    the lifter's skeleton; poses in camera axes.
    """
    lifter = settings.lifter
    network = lifter.network
    hidden = jnp.asarray(rows.hidden)
    layout = (settings.skeleton, lifter.skeleton, False)
    keypoints, occluded = convert(jnp.asarray(rows.keypoints), hidden, *layout, settings.missing)
    confidence, _ = convert(jnp.asarray(rows.confidence)[..., None], hidden, *layout)
    inspected = inspect(keypoints[:, None], occluded[:, None], camera, confidence[:, None, :, 0])
    assert inspected.confidence is not None
    keypoints, occluded = inspected.keypoints[:, 0], inspected.occluded[:, 0]
    trust = inspected.confidence[:, 0]

    doubt = jnp.where(occluded, 0, jnp.clip(1 - trust, 0, 1))

    gaps, seen = fill_frame(
        network.fill, state.gaps, normalize(keypoints, camera), occluded, 1 / settings.fps
    )

    def step(index: Array, carry: tuple[LiftState, Array, Array]) -> tuple[LiftState, Array, Array]:
        before, lower, upper = carry
        started, kept = before.started, index < now.kept
        later = now.later + index.astype(jnp.float32) / network.fps
        direction, shown, age, turn = turn_frame(
            network, before.direction, seen, started, later, lifter.focal, lifter.turned
        )
        level = None
        if up is not None:
            level = turn_to(jnp.broadcast_to(up[:, None], (len(turn), 1, 3)), turn)[:, 0]
        layers, answers = step_averaged(
            *(network, folded, before.network, shown, occluded, age, started, kept),
            lifter.skeleton,
            settings.flip,
            readable(network, Hints(level, doubt)),
        )
        poses = turn_back(answers[:, None], turn[:, None])[:, 0]
        # Who has just come has no pose of the time before.
        first = (index == 0) & ~state.started[:, None, None]
        lower = jnp.where((index == now.lower) | (first & (now.lower < 0)), poses, lower)
        upper = jnp.where((index == now.upper) | (first & (now.upper < 0)), poses, upper)
        after = LiftState(
            before.gaps,
            direction=jnp.where(kept, direction, before.direction),
            started=started | kept,
            last=jnp.where(kept, poses, before.last),
            network=layers,  # a frame that does not stay stands where the next one will be written
        )
        return after, lower, upper

    begin = (state._replace(gaps=gaps), state.last, state.last)
    after, lower, upper = jax.lax.fori_loop(0, jnp.asarray(now.steps, jnp.int32), step, begin)
    share = jnp.asarray(now.share, lower.dtype)
    return after, (1 - share) * lower + share * upper, keypoints, occluded, trust


def _frame_of(live: Live, found: _Found, left_out: tuple[int, ...]) -> LiveFrame:
    poses, hidden, root, lagged, status = (np.asarray(values) for values in jax.device_get(found))
    taken = sorted((person, slot) for slot, person in enumerate(live.ids) if person != FREE)
    slots = [slot for _, slot in taken]
    lag = live.path.settings.lag
    there = np.array([live.here[slot] > lag for slot in slots], bool)
    return LiveFrame(
        frame=live.frame - 1,
        lag=lag,
        ids=tuple(person for person, _ in taken),
        joints=poses[slots] + root[slots][:, None],
        root=root[slots],
        lagged_root=np.where(there[:, None], lagged[slots], np.nan),
        status=status[slots],
        hidden=hidden[slots],
        left_out=left_out,
    )
