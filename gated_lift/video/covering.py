"""Who hides whom: joints that a detector has put on the wrong person, with confidence.

Where one person covers another, detectors draw the joints of the one behind on the one in front. Bodies in 3D
tell which joints that may be: those that lie behind a limb of somebody nearer to the camera.
"""

import jax
import numpy as np
from jaxtyping import Bool, Float

from gated_lift.skeleton import Skeleton
from gated_lift.synthetic.bodies import body_occlusion


def covered_joints(
    joints: Float[np.ndarray, "people frames joints 3"], skeleton: Skeleton
) -> Bool[np.ndarray, "people frames joints"]:
    """True where a limb of somebody nearer stands between the camera and the joint
    (`synthetic.bodies.body_occlusion`).

    joints: metres in camera axes, NaN where nobody is; such a joint is not covered and covers nobody.
    """
    if len(joints) < 2:
        return np.zeros(joints.shape[:-1], bool)
    return np.asarray(_hidden(np.asarray(joints, np.float32), skeleton))


_hidden = jax.jit(lambda joints, skeleton: body_occlusion(joints, skeleton).hidden, static_argnums=1)
