"""What every keypoint format costs, and what to do about joints that it lacks, measured on many people.

    python -m experiments.rendered_formats --data cmu_fbx_single.npz --seen cmu_single.npz cmu_pairs.npz

Captured people whom the weights were not trained on are seen by virtual cameras that stand still, through the
model of a detector. Each format gets its own joints of the same detections, which are brought to Human3.6M's
17 twice: with midpoints in the place of joints that it lacks, and with these hidden (`skeleton.convert`).
"h36m_17" is what a detector of exactly the lifter's joints would give. `experiments.missing_joints` asks the
same of real detections of two people.

The captures have no face. `HEAD` places the nose, the ears and the top of the head on the captured head, as
if it turned with the shoulders; joints that the conversion does not read (eyes, fingers, feet) are left out.
All other joints lie where the captures have them: the hips of COCO or MediaPipe are not moved to where their
annotators mark hips, since by how much is not known here.
"""

import tyro

from experiments.commands import run_script
from experiments.judging.rendered_formats import RenderedFormats, compare


def main() -> None:
    compare(tyro.cli(RenderedFormats, description=__doc__))


if __name__ == "__main__":
    run_script(main)
