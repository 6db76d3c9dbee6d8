"""Videos of any length in bounded memory: `recover` for one piece of the video after the other.

Pieces overlap, and of each only the frames in its middle are kept. What a frame's answer hangs on lies near
it: the network reads a few seconds, a gap that counts is no longer than ``longest_gap``, and a path forgets
what was seen before the last few seconds.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gated_lift.networks.checkpoints import LoadedLifter
from gated_lift.pipeline import recover
from gated_lift.recovery.lengths import SHORTEST
from solvers import Camera, Extrinsics, Status

# Frames of a piece, its margins included: one of the lengths that `recover` pads to, so that all pieces but
# those of short videos are one program.
PIECE = 16 * SHORTEST

# Seconds before and after what is kept of a piece. Twice `recover`'s longest gap: whatever gap a kept frame
# lies in, the piece shows the person on both sides of it.
MARGIN = 8.0


class Recovered(NamedTuple):
    """What `recover` returns of a whole video, as NumPy's arrays."""

    joints: Float[np.ndarray, "people frames joints 3"]
    root: Float[np.ndarray, "people frames 3"]
    status: Int[np.ndarray, " people"]
    present: Bool[np.ndarray, "people frames"]
    residual: Float[np.ndarray, "people frames"]
    covariance: Float[np.ndarray, "people frames 3 3"] | None


class Piece(NamedTuple):
    """Frames begin to end are computed, first to last of them are kept."""

    begin: int
    end: int
    first: int
    last: int


def cut(frames: int, piece: int, margin: int) -> Iterator[Piece]:
    """Pieces of ``piece`` frames whose kept frames are every frame once.

    The first and the last keep what other pieces have as their margins. Raises ValueError where margins leave
    nothing to keep.
    """
    if piece <= 2 * margin:
        raise ValueError(
            f"piece is {piece} frames and its margins {margin} each: give more than twice as many frames"
        )
    first = 0
    while first < frames:
        begin = max(0, min(first - margin, frames - piece))
        end = min(frames, begin + piece)
        last = frames if end == frames else end - margin
        yield Piece(begin, end, first, last)
        first = last


def recover_in_pieces(
    lifter: LoadedLifter,
    keypoints: Float[np.ndarray, "people frames joints 2"],
    occluded: Bool[np.ndarray, "people frames joints"],
    camera: Camera,
    fps: float,
    confidence: Float[np.ndarray, "people frames joints"] | None = None,
    extrinsics: Extrinsics | None = None,
    piece: int = PIECE,
    margin: float = MARGIN,
    progress: Callable[[int], Any] | None = None,
    **settings: Any,
) -> Recovered:
    """`gated_lift.recover` of a video of any length.

    piece: frames of a piece, margins of ``margin`` seconds on both sides included; where both margins are
        more than two thirds of it, it is three margins long. camera: one for the whole video. extrinsics: a
        pose a frame, or one. progress: called with the number of frames after each piece.
    settings: of `recover`, as they are.

    Differences to one pass over all frames fade with the margin: below 1e-4 m with the default one (see
    tests/test_pieces.py). A person's status is CONVERGED where every piece that shows the person says so,
    otherwise the one that most of the frames have which say something else. A joint that is never seen in
    the whole of a piece counts as never seen there (PARTLY_SEEN).
    """
    frames = occluded.shape[1]
    visible = np.any(~occluded, axis=-1)
    spare = int(np.ceil(margin * fps))
    found: list[tuple[Piece, Recovered]] = []
    for part in cut(frames, max(piece, 3 * spare), spare):
        window = slice(part.begin, part.end)
        path = extrinsics
        if extrinsics is not None and len(extrinsics.rotation) > 1:
            path = Extrinsics(extrinsics.rotation[window], extrinsics.position[window])
        recovery = recover(
            lifter,
            keypoints[:, window],
            occluded[:, window],
            camera,
            fps,
            None if confidence is None else confidence[:, window],
            path,
            **settings,
        )
        kept = slice(part.first - part.begin, part.last - part.begin)

        def cut_out(values: Any, kept: slice = kept) -> np.ndarray:
            return np.asarray(values)[:, kept].copy()

        found.append(
            (
                part,
                # Copies: views would keep the margins of every piece, too.
                Recovered(
                    *(cut_out(recovery.joints), cut_out(recovery.root)),
                    np.asarray(recovery.status),
                    *(cut_out(recovery.present), cut_out(recovery.residual)),
                    None if recovery.covariance is None else cut_out(recovery.covariance),
                ),
            )
        )
        if progress is not None:
            progress(part.last - part.first)

    def joined(name: str) -> Any:
        values = [getattr(part, name) for _, part in found]
        return None if values[0] is None else np.concatenate(values, axis=1)

    statuses = np.stack([part.status for _, part in found])
    shown = np.stack([np.sum(visible[:, kept.first : kept.last], axis=1) for kept, _ in found])
    return Recovered(
        joints=joined("joints"),
        root=joined("root"),
        status=_status_of(statuses, shown),
        present=joined("present"),
        residual=joined("residual"),
        covariance=joined("covariance"),
    )


def _status_of(statuses: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """One status a person, of those of every piece (pieces, people) and the frames on which it shows them."""
    answers = []
    for own, frames in zip(statuses.T, shown.T, strict=True):
        odd = (own != int(Status.CONVERGED)) & (frames > 0)
        if not frames.any():
            answers.append(int(own[0]))
        elif not odd.any():
            answers.append(int(Status.CONVERGED))
        else:
            counts = {status: frames[odd & (own == status)].sum() for status in np.unique(own[odd])}
            answers.append(int(max(counts, key=lambda status: counts[status])))
    return np.array(answers, np.int32)
