"""People as one binary glTF scene (`.glb`) through pygltflib: animated skins; metres, seconds, y up."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gated_lift.exports.animation import Animation, animate, bone_lengths_of, only_y_up
from gated_lift.exports.axes import Up, describe
from gated_lift.exports.checks import check_people, ever_there
from gated_lift.exports.files import require
from gated_lift.exports.mesh import body, rest_places
from gated_lift.exports.record import software_version
from gated_lift.outputs import Writer
from gated_lift.people import LiftedPeople

RIGID = 1e-4  # metres that a bone's length may vary by and not be animated

# glTF's numbers for the types of components and the uses of a buffer.
_FLOAT, _SHORT = 5126, 5123
_VERTICES = 34962
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def plan(people: LiftedPeople, path: Path, up: Up | None = None) -> dict[Path, Writer]:
    """One scene with a node for everybody who is ever there, and one animation of all of them.

    The nodes below a person's are those of `rig.build_rig`. Rotations are animated, the root's place, and the
    places of joints whose bones change their length by more than `RIGID`, so that joints come back as they
    were lifted. Time 0 is the clip's first frame; key frames stand at the frames' own times. On frames
    without a person their node has the scale 0, which glTF's readers take as invisible, and what is below it
    holds the nearest frame. The body is `mesh.body`.

    glTF fixes the unit and the axes: metres, y up. ``asset.extras`` says so, with the rate, what the people
    were lifted in and from. Raises ImportError without pygltflib, and ValueError as `check_people`, where
    nobody is ever there and for ``up`` "z".
    """
    only_y_up(up, "GLB")
    gltf = require("pygltflib", "GLB")
    some = ever_there(check_people(people), "GLB")

    def write(part: Path) -> None:
        scene = _Scene(gltf, people)
        for person in some:
            scene.add(int(person))
        scene.save(part)

    return {path: write}


class _Scene:
    """Collects the parts of a file: glTF's lists point at each other by index, and all at one buffer."""

    def __init__(self, gltf: ModuleType, people: LiftedPeople) -> None:
        self.gltf, self.people = gltf, people
        self.data = bytearray()
        extras = {
            "units": "m",
            "axes": describe(people.axes, "y"),
            "lifted_in": people.axes,
            "fps": float(people.fps),
            "source": people.source,
        }
        self.file = gltf.GLTF2(
            asset=gltf.Asset(generator=f"gated_lift {software_version('gated-lift')}", extras=extras),
            scene=0,
            scenes=[gltf.Scene(nodes=[])],
            animations=[gltf.Animation(name="lift")],
        )

    def array(self, values: np.ndarray, ranged: bool = False, target: int | None = None) -> int:
        """Adds an array as an accessor, and returns its index. ranged: with its least and greatest values."""
        gltf, file = self.gltf, self.file
        values = values if values.dtype == np.uint16 else values.astype(np.float32)
        self.data += b"\0" * (-len(self.data) % 4)  # accessors begin on whole words
        content = values.astype(values.dtype.newbyteorder("<")).tobytes()
        file.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=len(content), target=target)
        )
        self.data += content
        flat = values.reshape(len(values), -1)
        file.accessors.append(
            gltf.Accessor(
                bufferView=len(file.bufferViews) - 1,
                componentType=_SHORT if values.dtype == np.uint16 else _FLOAT,
                count=len(values),
                type=_KINDS[flat.shape[1]],
                min=flat.min(axis=0).tolist() if ranged else None,
                max=flat.max(axis=0).tolist() if ranged else None,
            )
        )
        return len(file.accessors) - 1

    def add(self, person: int) -> None:
        """Adds one person: nodes, skin, mesh, material and the channels of the animation."""
        animation = animate(self.people, person, rigid=False)
        rig, gltf, file = animation.rig, self.gltf, self.file
        name = self.people.names[person] or f"person_{person}"
        top = len(file.nodes)
        first = top + 1  # the rig's nodes follow the person's own, the mesh's stands last
        offsets = animation.lengths[list(rig.joint), None] * rig.offset
        file.nodes.append(gltf.Node(name=name, children=[first]))
        for node in range(rig.num_nodes):
            children = [first + child for child, parent in enumerate(rig.parents) if parent == node]
            file.nodes.append(
                gltf.Node(
                    name=rig.names[node],
                    children=children,
                    translation=offsets[node].tolist(),
                    rotation=[0.0, 0.0, 0.0, 1.0],
                )
            )
        file.nodes.append(gltf.Node(name=f"{name}_body", mesh=len(file.meshes), skin=len(file.skins)))
        # A skin ignores where its mesh stands: glTF wants such nodes outside of others.
        file.scenes[0].nodes += [top, len(file.nodes) - 1]
        self._add_body(animation, name, first, len(file.skins))
        self._add_channels(animation, top, first, offsets)

    def _add_body(self, animation: Animation, name: str, first: int, number: int) -> None:
        from gated_lift.drawing.figures import color_of  # it imports matplotlib, which takes its time

        gltf, file, rig = self.gltf, self.file, animation.rig
        inverse = np.tile(np.eye(4), (rig.num_nodes, 1, 1))
        inverse[:, :3, 3] = -rest_places(rig, animation.lengths)
        columns = np.swapaxes(inverse, 1, 2).reshape(-1, 16)  # matrices are stored column by column
        file.skins.append(
            gltf.Skin(
                name=name,
                inverseBindMatrices=self.array(columns),
                skeleton=first,
                joints=list(range(first, first + rig.num_nodes)),
            )
        )
        skin = body(rig, animation.lengths)
        joints = np.zeros((len(skin.nodes), 4), np.uint16)
        joints[:, 0] = skin.nodes
        weights = np.tile([1.0, 0.0, 0.0, 0.0], (len(skin.nodes), 1))
        attributes = gltf.Attributes(
            POSITION=self.array(skin.vertices, ranged=True, target=_VERTICES),
            NORMAL=self.array(skin.normals, target=_VERTICES),
            JOINTS_0=self.array(joints, target=_VERTICES),
            WEIGHTS_0=self.array(weights, target=_VERTICES),
        )
        file.meshes.append(
            gltf.Mesh(name=name, primitives=[gltf.Primitive(attributes=attributes, material=number)])
        )
        color = color_of(number).lstrip("#")
        # Materials are linear, and colours on a screen are not.
        linear = [(int(color[at : at + 2], 16) / 255) ** 2.2 for at in (0, 2, 4)]
        surface = gltf.PbrMetallicRoughness(
            baseColorFactor=[*linear, 1.0], metallicFactor=0.0, roughnessFactor=0.8
        )
        file.materials.append(gltf.Material(name=name, pbrMetallicRoughness=surface))

    def _add_channels(self, animation: Animation, top: int, first: int, offsets: np.ndarray) -> None:
        rig = animation.rig
        frames = slice(animation.start, animation.start + len(animation.joints))
        times = self.people.times - self.people.times[0]
        keys = self.array(times[frames], ranged=True)
        self._channel(keys, first, "translation", animation.root)
        lengths = bone_lengths_of(animation.joints, rig.skeleton.parents)
        for node, joint in enumerate(rig.joint):
            rotations = animation.rotations[:, node]
            if np.any(np.abs(rotations[:, 3]) < 1 - 1e-12):
                self._channel(keys, first + node, "rotation", rotations)
            if np.any(offsets[node]) and np.ptp([*lengths[:, joint], animation.lengths[joint]]) > RIGID:
                places = lengths[:, joint, None] * rig.offset[node]
                self._channel(keys, first + node, "translation", places)
        seen = np.zeros(len(times), bool)
        seen[frames] = animation.there
        changes = np.flatnonzero(np.diff(seen, prepend=~seen[:1]))
        scale = np.repeat(seen[changes, None].astype(float), 3, axis=-1)
        if len(changes) > 1 or not seen[0]:
            self._channel(self.array(times[changes], ranged=True), top, "scale", scale, "STEP")

    def _channel(
        self, keys: int, node: int, path: str, values: np.ndarray, interpolation: str = "LINEAR"
    ) -> None:
        gltf, animation = self.gltf, self.file.animations[0]
        animation.samplers.append(
            gltf.AnimationSampler(input=keys, output=self.array(values), interpolation=interpolation)
        )
        target: Any = gltf.AnimationChannelTarget(node=node, path=path)
        animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    def save(self, path: Path) -> None:
        self.file.buffers = [self.gltf.Buffer(byteLength=len(self.data))]
        self.file.set_binary_blob(bytes(self.data))
        path.write_bytes(b"".join(self.file.save_to_bytes()))
