"""A body to look at: one octahedron a bone, as a skin that follows a rig."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt16

from gated_lift.exports.rig import Rig

_THICKNESS = 0.12  # of a bone's length, from its axis to its edge
_WAIST = 0.2  # how far along the bone it is thickest


class Skin(NamedTuple):
    """Triangles in the rest pose, metres: three vertices each, with a normal of their own.

    nodes: the rig's node that moves each vertex, alone.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    normals: Float[np.ndarray, "vertices 3"]
    nodes: UInt16[np.ndarray, " vertices"]


def rest_places(rig: Rig, lengths: Float[np.ndarray, " joints"]) -> Float[np.ndarray, "nodes 3"]:
    """Where the rig's nodes stand in the rest pose, the root at the origin; ``lengths`` as in `rig`."""
    places = np.zeros((rig.num_nodes, 3))
    for node, parent in enumerate(rig.parents):
        if parent >= 0:
            places[node] = places[parent] + lengths[rig.joint[node]] * rig.offset[node]
    return places


def body(rig: Rig, lengths: Float[np.ndarray, " joints"]) -> Skin:
    """A bone's octahedron begins at a joint and ends at the next. The tip follows the next joint's node and
    everything else the node that swings the bone, so that bones whose lengths are animated stay whole. Bones
    without length are left out.
    """
    places = rest_places(rig, lengths)
    vertices, nodes = [], []
    for node, parent in enumerate(rig.parents):
        bone = places[node] - places[parent]
        length = float(np.linalg.norm(bone))
        if parent < 0 or length < 1e-6:
            continue
        along = bone / length
        side = np.roll(along, 1)  # bones lie along an axis in the rest pose
        third = np.cross(along, side)
        ring = [
            places[parent] + length * (_WAIST * along + _THICKNESS * across)
            for across in (side, third, -side, -third)
        ]
        for edge in range(4):
            here, following = ring[edge], ring[(edge + 1) % 4]
            vertices += [here, following, places[node], following, here, places[parent]]
            nodes += [parent, parent, node, parent, parent, parent]
    corners = np.array(vertices).reshape(-1, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Skin(corners.reshape(-1, 3), np.repeat(normals, 3, axis=0), np.array(nodes, np.uint16))
