"""What stands behind a table, one side, or a whole format: shapes of masks against what each kind says."""

import jax
import jax.numpy as jnp
import numpy as np

from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated, hiding
from gated_lift.synthetic.hiding import HidingDistribution

BATCH, FRAMES = 400, 9
# People upright in the picture, y downwards: height is minus z.
POSES = generated.crossing_pair(frames=FRAMES, fps=50.0, seed=0).poses[0]
PICTURE = np.stack([POSES[..., 0] + POSES[..., 1], -POSES[..., 2]], axis=-1)
KEYPOINTS = jnp.asarray(np.broadcast_to(PICTURE, (BATCH, FRAMES, 17, 2)), jnp.float32)
draw = jax.jit(hiding.sample_hiding, static_argnames=("skeleton",))


def hidden(seed=0, share=1.0, lasting=1.0, **kinds):
    weights = dict.fromkeys(("line", "branch", "side", "whole"), 0.0) | kinds
    distribution = HidingDistribution(hidden_share=share, lasting=lasting, **weights)
    return np.asarray(draw(jax.random.key(seed), KEYPOINTS, distribution, skeleton=H36M_17))


def test_a_branch_is_a_joint_and_all_that_hangs_from_it():
    below = hiding.branches(H36M_17)
    names = np.array(H36M_17.names)
    assert below[0].all() and below.diagonal().all()
    assert set(names[below[names.tolist().index("left_shoulder")]]) == {
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    }
    mask = hidden(branch=1.0)
    assert (mask == mask[:, :1]).all()
    rows = {tuple(row) for row in mask[:, 0]}
    assert rows == {tuple(row) for row in below[1:]}


def test_a_side_is_an_arm_and_a_leg():
    rows = {tuple(np.flatnonzero(row)) for row in hidden(side=1.0)[:, 0]}
    assert rows == {tuple(sorted(H36M_17.left)), tuple(sorted(H36M_17.right))}


def test_a_line_hides_what_lies_beyond_it():
    """On every frame the hidden joints are the farthest in one of four directions, mostly the lowest."""
    mask = hidden(line=1.0)
    count, found = 0, {0: 0, 1: 0, 2: 0, 3: 0}
    for window in mask:
        for direction, sign in enumerate(([0, 1], [-1, 0], [1, 0], [0, -1])):
            along = PICTURE @ np.array(sign)
            if along[~window].max(initial=-np.inf) <= along[window].min(initial=np.inf) + 1e-6:
                found[direction] += 1
                break
        else:
            count += 1
    assert count == 0
    assert found[0] > 0.5 * BATCH and min(found.values()) > 10
    middle = mask[:, FRAMES // 2]
    assert (middle.any(1) & ~middle.all(1)).all()  # a part of the person is hidden, and a part is not


def test_shares_and_durations():
    whole = hidden(whole=1.0, lasting=0.0)
    assert (whole == whole[..., :1]).all()
    runs = whole[..., 0]
    assert (np.abs(np.diff(runs.astype(int), axis=1)).sum(1) <= 2).all()  # one run a window
    assert 0.2 < runs.mean() < 0.45  # two uniform times are a third of the window apart
    some = hidden(share=0.3, side=1.0)
    assert 0.22 < some.any((1, 2)).mean() < 0.38
    assert not hidden(share=0.0, side=1.0).any()
    np.testing.assert_array_equal(hidden(seed=3, line=1.0, branch=1.0), hidden(seed=3, line=1.0, branch=1.0))


def test_a_format_lacks_its_joints_on_every_frame():
    rows = np.asarray(
        hiding.sample_lacking(jax.random.key(0), 600, HidingDistribution(lacking_share=0.5), H36M_17)
    )
    lacking = hiding.lacking_joints(H36M_17)
    assert [int(row.sum()) for row in lacking] == [3, 2, 1]
    assert {tuple(row) for row in rows} == {tuple(row) for row in lacking} | {(False,) * 17}
    assert 0.42 < rows.any(1).mean() < 0.58
