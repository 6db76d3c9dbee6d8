"""GLB files, read back by forward kinematics of what pygltflib loads."""

import json
import struct

import numpy as np
import pytest
from exported import lifted_people, y_up
from scipy.spatial.transform import Rotation

from gated_lift.exports import export
from gated_lift.exports.rig import build_rig
from gated_lift.skeleton import H36M_17

pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is in the extra exports")

MILLIMETRE = 1e-3
RIG = build_rig(H36M_17)
JOINT_NAMES = [RIG.names[node] for node in RIG.joint_nodes]


class Gltf:
    """A reader of its own for what glTF says of nodes, animations and skins."""

    def __init__(self, path):
        self.file = pygltflib.GLTF2().load(str(path))
        self.blob = self.file.binary_blob()

    def array(self, index):
        accessor = self.file.accessors[index]
        view = self.file.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        kind = {5126: "<f4", 5123: "<u2"}[accessor.componentType]
        start = view.byteOffset + (accessor.byteOffset or 0)
        return np.frombuffer(self.blob, kind, accessor.count * width, start).reshape(accessor.count, width)

    def globals(self, seconds):
        """World matrices (nodes, 4, 4) at a time."""
        nodes = self.file.nodes
        local = {
            (node, path): np.array(getattr(nodes[node], path) or rest)
            for node in range(len(nodes))
            for path, rest in (("translation", [0, 0, 0]), ("rotation", [0, 0, 0, 1]), ("scale", [1, 1, 1]))
        }
        animation = self.file.animations[0]
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            times, values = self.array(sampler.input)[:, 0], self.array(sampler.output)
            if sampler.interpolation == "STEP":
                value = values[max(np.searchsorted(times, seconds + 1e-6) - 1, 0)]
            else:
                value = np.array([np.interp(seconds, times, values[:, k]) for k in range(values.shape[1])])
            local[channel.target.node, channel.target.path] = value
        world = np.tile(np.eye(4), (len(nodes), 1, 1))

        def visit(node, parent):
            matrix = np.eye(4)
            turn = Rotation.from_quat(local[node, "rotation"]).as_matrix()
            matrix[:3, :3] = turn * local[node, "scale"]
            matrix[:3, 3] = local[node, "translation"]
            world[node] = parent @ matrix
            for child in nodes[node].children or ():
                visit(child, world[node])

        for node in self.file.scenes[0].nodes:
            visit(node, np.eye(4))
        return world


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("axes", ["world", "camera"])
def test_joints_come_back_from_glb_to_a_millimetre_whatever_the_bones_do(tmp_path, axes, noise):
    people = lifted_people(30, axes=axes, noise=noise)
    scene = Gltf(export(people, tmp_path / "clip.glb")[0])
    for frame in range(0, 30, 3):
        world = scene.globals(people.times[frame])
        for person, skin in enumerate(scene.file.skins):
            nodes = [skin.joints[node] for node in RIG.joint_nodes]
            assert [scene.file.nodes[node].name for node in nodes] == JOINT_NAMES
            if people.present[person, frame]:
                error = np.linalg.norm(world[nodes, :3, 3] - y_up(people)[person, frame], axis=-1)
                # What varies by less than a tenth of a millimetre a bone is not animated.
                assert np.max(error) < MILLIMETRE
            else:
                assert np.all(world[nodes, :3, :3] == 0)  # scale 0: not to be seen


def test_a_skin_follows_its_joints(tmp_path):
    """Every bone's base stands at one joint and its tip at the next, on a frame in the middle."""
    people = lifted_people(10, noise=0.02, gap=False)
    scene = Gltf(export(people, tmp_path / "clip.glb")[0])
    world = scene.globals(people.times[5])
    for person, skin in enumerate(scene.file.skins):
        inverse = scene.array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
        primitive = scene.file.meshes[person].primitives[0]
        vertices = scene.array(primitive.attributes.POSITION)
        weights = scene.array(primitive.attributes.WEIGHTS_0)
        joints = scene.array(primitive.attributes.JOINTS_0)
        normals = scene.array(primitive.attributes.NORMAL)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-6)
        assert np.all(weights.sum(axis=-1) == 1) and joints.max() < len(skin.joints)
        matrices = (world[skin.joints] @ inverse)[joints[:, 0]]
        placed = np.einsum("vij,vj->vi", matrices[:, :3, :3], vertices) + matrices[:, :3, 3]
        bones = placed.reshape(16, 8, 3, 3)  # sixteen bones of eight triangles
        tips, bases = bones[:, 0, 2], bones[:, 1, 2]
        wanted = y_up(people)[person, 5]
        for start, end in H36M_17.bones:
            gap = np.linalg.norm(tips - wanted[end], axis=-1) + np.linalg.norm(bases - wanted[start], axis=-1)
            assert np.min(gap) < 2 * MILLIMETRE
        # Triangles face outwards: their normals point away from the middle of their bone.
        corners = vertices.reshape(16, 8, 3, 3)
        outward = corners.mean(axis=2) - corners.mean(axis=(1, 2), keepdims=True)[:, 0]
        assert np.all(np.sum(outward * normals.reshape(16, 8, 3, 3)[:, :, 0], axis=-1) > 0)


def test_a_glb_is_whole_and_says_what_it_is(tmp_path):
    people = lifted_people(10)._replace(times=3 + np.arange(10) / 50)
    path = export(people, tmp_path / "clip.glb")[0]
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert magic == b"glTF" and version == 2 and length == len(data)
    size = struct.unpack("<I", data[12:16])[0]
    told = json.loads(data[20 : 20 + size])
    assert told["asset"]["version"] == "2.0" and "gated_lift" in told["asset"]["generator"]
    assert told["asset"]["extras"]["units"] == "m" and "y up" in told["asset"]["extras"]["axes"]
    scene = Gltf(path)
    tops = [scene.file.nodes[skin.skeleton - 1].name for skin in scene.file.skins]
    assert tops == ["anna", "bob/2"]
    animation = scene.file.animations[0]
    starts = [scene.file.accessors[sampler.input].min[0] for sampler in animation.samplers]
    ends = [scene.file.accessors[sampler.input].max[0] for sampler in animation.samplers]
    assert min(starts) == 0 and max(ends) == pytest.approx(9 / 50)  # the clip begins at 0
