"""From the axes that people were lifted in to those of other programs, by quarter turns: exactly.

A camera's x points right, y down and z forward; the world is right-handed with z up. Other programs want y or
z up. Every turn here permutes axes and flips signs, so it loses no digit and can be undone.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from gated_lift.people import LiftedPeople
from solvers import Extrinsics

Up = Literal["y", "z"]


class Turn(NamedTuple):
    """new[k] = sign[k] · old[order[k]], a rotation."""

    order: tuple[int, int, int]
    sign: tuple[int, int, int]


_SAME = Turn((0, 1, 2), (1, 1, 1))
_TURNS = {
    ("camera", "y"): Turn((0, 1, 2), (1, -1, -1)),
    ("camera", "z"): Turn((0, 2, 1), (1, 1, -1)),
    ("world", "y"): Turn((0, 2, 1), (1, 1, -1)),
    ("world", "z"): _SAME,
}
_WORDS = {
    ("camera", None): "camera: x right, y down, z forward",
    ("camera", "y"): "camera, turned: x right, y up, z backward",
    ("camera", "z"): "camera, turned: x right, y forward, z up",
    ("world", None): "world: z up",
    ("world", "y"): "world, turned: x as it was, y up, z the opposite of the world's y",
    ("world", "z"): "world: z up",
}


def turn_to(axes: str, up: Up | None) -> Turn:
    """The turn from a person's axes ("camera" or "world") to axes with ``up`` up; None turns nothing.

    Up from "camera" is the image's up: the vertical only as far as the camera was held level. Raises
    ValueError for other axes, and for another ``up``.
    """
    if axes not in ("camera", "world"):
        raise ValueError(f"axes is {axes!r}: give 'camera' or 'world'")
    if up is not None and up not in get_args(Up):
        raise ValueError(f"up is {up!r}: give 'y', 'z', or None for the axes that people were lifted in")
    return _SAME if up is None else _TURNS[axes, up]


def describe(axes: str, up: Up | None) -> str:
    """In words, the axes after `turn_to`; its errors."""
    turn_to(axes, up)
    return _WORDS[axes, up]


def turn_points(points: Float[np.ndarray, "*batch 3"], turn: Turn) -> Float[np.ndarray, "*batch 3"]:
    """Points or directions in the new axes, in their own unit and dtype."""
    return points[..., list(turn.order)] * np.array(turn.sign, points.dtype)


def turn_people(people: LiftedPeople, up: Up | None, back: bool = False) -> LiftedPeople:
    """People in axes with ``up`` up: joints, roots, covariances, and the camera's place in the world.

    ``axes`` still names what the people were lifted in, and says nothing of the turn. A world's extrinsics
    turn with it, so that they fit the joints; extrinsics beside people in camera axes stay. back: undo it.
    Raises ValueError as `turn_to`.
    """
    turn = turn_to(people.axes, up)
    if back:
        first, second, third = (turn.order.index(axis) for axis in range(3))
        signs = turn.sign[first], turn.sign[second], turn.sign[third]
        turn = Turn((first, second, third), signs)
    order, sign = list(turn.order), np.array(turn.sign)
    covariance = people.covariance
    if covariance is not None:
        flips = np.outer(sign, sign).astype(covariance.dtype)
        covariance = covariance[..., order, :][..., order] * flips
    extrinsics = people.extrinsics
    if extrinsics is not None and people.axes == "world":
        rotation, position = np.asarray(extrinsics.rotation), np.asarray(extrinsics.position)
        extrinsics = Extrinsics(
            rotation[..., order] * sign.astype(rotation.dtype), turn_points(position, turn)
        )
    return people._replace(
        joints=turn_points(people.joints, turn),
        root=turn_points(people.root, turn),
        covariance=covariance,
        extrinsics=extrinsics,
    )
