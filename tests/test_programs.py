"""The programs that are written run in a process that has none of this project's packages."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifter_oracle import random_variables

from gated_lift import TemporalLifter
from gated_lift.networks.checkpoints import LoadedLifter
from gated_lift.networks.protocol import Hints
from gated_lift.programs import DESCRIPTION, LIFT, SOLVE, write_programs
from gated_lift.recovery.lifting import lift_pixels
from gated_lift.skeleton import H36M_17
from solvers import Camera, solve_trajectory

NETWORK = TemporalLifter(
    channels=8, filter_widths=(3, 3), framing="person", mask_channels="age", tilt=True, confidence=True
)
PEOPLE, FRAMES, BEGIN, FOCAL = 1, 24, 5, 1000.0
CENTER = (500.0, 480.0)
# What stands in for somebody else's program.
PROGRAM = """
import sys
for name in ("gated_lift", "solvers", "experiments", "flax", "jaxopt"):
    sys.modules[name] = None  # importing it fails
import json
import numpy as np
import jax
from jax import export
folder, inputs, outputs = sys.argv[1:]
given, found = np.load(inputs), {}
for file, program in json.load(open(f"{folder}/programs.json"))["programs"].items():
    run = export.deserialize(bytearray(open(f"{folder}/{file}", "rb").read()))
    values = run.call(*(given[f"{file}/{value['name']}"] for value in program["inputs"]))
    values = values if isinstance(values, tuple) else (values,)
    for value, told in zip(values, program["outputs"], strict=True):
        assert value.dtype == told["dtype"] and len(value.shape) == len(told["shape"])
        found[f"{file}/{told['name']}"] = value
np.savez(outputs, **found)
"""


@pytest.fixture(scope="module")
def lifter():
    shape = (1, NETWORK.receptive_field, H36M_17.num_joints)
    abstract = jax.eval_shape(
        lambda: NETWORK.init(jax.random.key(0), jnp.zeros((*shape, 2)), jnp.zeros(shape, bool))
    )
    return LoadedLifter(NETWORK, random_variables(abstract, 0), H36M_17, 2.0, True, {"licences": ["free"]})


def test_programs_answer_what_the_library_answers(lifter, tmp_path):
    pytest.importorskip("flatbuffers", reason="the extra programs is not installed")
    folder = write_programs(tmp_path / "programs", lifter, PEOPLE, FRAMES)
    rng = np.random.default_rng(0)
    shape = (PEOPLE, FRAMES, H36M_17.num_joints)
    poses = rng.normal(0, 0.3, (*shape, 3)).astype(np.float32)
    root = np.array([0.3, 0.1, 4.0]) + 0.01 * np.arange(FRAMES)[:, None]
    points = poses + root[None, :, None]
    keypoints = (FOCAL * points[..., :2] / points[..., 2:] + CENTER).astype(np.float32)
    keypoints += rng.normal(0, 2, keypoints.shape).astype(np.float32)
    occluded = rng.random(shape) < 0.3
    keypoints[occluded] = np.nan
    confidence = rng.uniform(0.5, 1, shape).astype(np.float32)
    camera = Camera(np.full(2, FOCAL, np.float32), np.array(CENTER, np.float32))
    up = np.array([0.0, -1.0, 0.0], np.float32)
    seen = {"keypoints": keypoints, "occluded": occluded, "focal": camera[0], "center": camera[1]}
    lifted = seen | {"up": up, "confidence": confidence}
    placed = seen | {"poses": poses, "fps": np.float32(30), "begin": np.int32(BEGIN)}
    given = {f"{LIFT}/{name}": value for name, value in lifted.items()}
    given |= {f"{SOLVE}/{name}": value for name, value in placed.items()}
    np.savez(tmp_path / "inputs.npz", **given)

    arguments = [folder, tmp_path / "inputs.npz", tmp_path / "outputs.npz"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "outputs.npz")

    hints = Hints(jnp.asarray(up)[None, None], jnp.asarray(1 - confidence))
    answered = jax.jit(lambda *clip: lift_pixels(lifter, *clip, camera, True, hints=hints))(
        jnp.asarray(keypoints), jnp.asarray(occluded)
    )
    np.testing.assert_allclose(found[f"{LIFT}/poses"], answered, atol=1e-6)
    solution = solve_trajectory(poses, keypoints, occluded, camera, fps=30.0, begin=BEGIN)
    np.testing.assert_allclose(found[f"{SOLVE}/root"], solution.root, atol=1e-6)
    np.testing.assert_array_equal(found[f"{SOLVE}/status"], solution.status)
    np.testing.assert_allclose(found[f"{SOLVE}/residual"], solution.residual, rtol=1e-4)
    assert np.isfinite(found[f"{SOLVE}/root"][:, BEGIN:]).all()

    told = json.loads((folder / DESCRIPTION).read_text())
    assert told["joints"] == list(H36M_17.names) and told["licences"] == ["free"]
    assert told["programs"][SOLVE]["inputs"][0]["shape"] == [PEOPLE, FRAMES, 17, 3]


def test_what_cannot_be_written_is_refused(lifter, tmp_path):
    with pytest.raises(ValueError, match=r"lifter is a TemporalLifter: programs are written of .* of poses"):
        write_programs(tmp_path, lifter._replace(network=NETWORK.clone(target="root")), 1, 8)
    with pytest.raises(ValueError, match="frames is 0: give a whole number"):
        write_programs(tmp_path, lifter, 1, 0)
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="is not empty: choose another folder"):
        write_programs(tmp_path, lifter, 1, 8)
