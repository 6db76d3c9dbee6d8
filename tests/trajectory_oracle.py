"""An independent statement of Eq. 9 in NumPy and SciPy, float64, and synthetic people to try it on.

Shares no code with `solvers`: the oracle writes the residuals and their sparse Jacobian from the paper's
equations and solves the normal equations of plain Gauss-Newton steps by SciPy's sparse LU in double
precision until the step vanishes.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

# Of geometric mean 1145: there a pixel weighs what Eq. 9 says, and the oracle need not resize the image.
FOCAL = (1147.0, 1145.0**2 / 1147.0)
CENTER = (512.0, 515.0)


class Scene(NamedTuple):
    """poses (P, F, J, 3) m root-relative, keypoints (P, F, J, 2) px, occluded (P, F, J), root (P, F, 3) m."""

    poses: np.ndarray
    keypoints: np.ndarray
    occluded: np.ndarray
    root: np.ndarray


def walking_people(people, frames, *, seed=0, joints=17, hidden=0.5, gap=0, noise=2.0, distance=4.0):
    """Rigid bodies that walk arcs about ``distance`` metres away at 50 fps while their arms swing.

    ``hidden`` of the joints are hidden at random, and all of them for ``gap`` frames in the middle.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 50
    body = rng.normal(size=(people, 1, joints, 3)) * [0.2, 0.45, 0.12]
    body[:, :, 0] = 0
    swing = np.zeros((people, frames, joints, 3))
    arms = rng.integers(1, joints, size=4)
    phase = rng.uniform(0, 2 * np.pi, size=(people, 1, 4))
    swing[:, :, arms, 2] = 0.25 * np.sin(2 * np.pi * 0.9 * time[None, :, None] + phase)
    heading = rng.uniform(0, 2 * np.pi, (people, 1)) + rng.uniform(-0.4, 0.4, (people, 1)) * time
    cos, sin = np.cos(heading), np.sin(heading)
    local = body + swing
    poses = np.stack(
        [
            cos[..., None] * local[..., 0] + sin[..., None] * local[..., 2],
            local[..., 1],
            -sin[..., None] * local[..., 0] + cos[..., None] * local[..., 2],
        ],
        axis=-1,
    )
    turn = rng.uniform(0, 2 * np.pi, (people, 1)) + 0.35 * time
    root = np.stack(
        [
            0.9 * np.sin(turn),
            0.1 + 0.03 * np.sin(2 * np.pi * 1.8 * time) + 0 * turn,
            distance + 0.9 * np.cos(turn),
        ],
        axis=-1,
    )
    points = poses + root[..., None, :]
    keypoints = np.stack([FOCAL[i] * points[..., i] / points[..., 2] + CENTER[i] for i in range(2)], axis=-1)
    keypoints += noise * rng.normal(size=keypoints.shape)
    occluded = rng.uniform(size=(people, frames, joints)) < hidden
    middle = (frames - gap) // 2
    occluded[:, middle : middle + gap] = True
    return Scene(poses, keypoints, occluded, root)


def residuals_and_jacobian(root, poses, keypoints, occluded, weights, focal=FOCAL, center=CENTER):
    """Residuals of Eq. 9 for one person (pixels and millimetres) and their sparse Jacobian by root (F, 3) in
    metres.
    """
    frames = len(root)
    frame, joint = np.nonzero(~occluded)
    point = poses[frame, joint] + root[frame]
    residuals, rows, columns, values = [], [], [], []
    base = 0
    for axis in range(2):
        residuals.append(
            focal[axis] * point[:, axis] / point[:, 2] + center[axis] - keypoints[frame, joint, axis]
        )
        index = base + np.arange(len(frame))
        rows += [index, index]
        columns += [3 * frame + axis, 3 * frame + 2]
        values += [focal[axis] / point[:, 2], -focal[axis] * point[:, axis] / point[:, 2] ** 2]
        base += len(frame)
    reprojection = scipy.sparse.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(base, 3 * frames)
    )
    parts = [reprojection]
    for order, weight in enumerate(weights, start=1):
        stencil = {1: [-1.0, 1.0], 2: [1.0, -2.0, 1.0]}[order]
        if frames <= order:
            continue
        length = frames - order
        difference = scipy.sparse.diags(stencil, list(range(order + 1)), shape=(length, frames))
        operator = 1000 * np.sqrt(weight) * scipy.sparse.kron(difference, scipy.sparse.eye(3))
        parts.append(operator)
        residuals.append(operator @ root.ravel())
    return np.concatenate(residuals), scipy.sparse.vstack(parts).tocsc()


def solve(root, poses, keypoints, occluded, weights, steps=50, **camera):
    """The minimiser of Eq. 9 near ``root`` for one person."""
    root = root.copy()
    for _ in range(steps):
        residual, jacobian = residuals_and_jacobian(root, poses, keypoints, occluded, weights, **camera)
        step = scipy.sparse.linalg.spsolve((jacobian.T @ jacobian).tocsc(), -jacobian.T @ residual)
        root += step.reshape(root.shape)
        if np.abs(step).max() < 1e-10:
            return root
    raise AssertionError(f"the oracle has not converged: last step {np.abs(step).max():.1e} m")
