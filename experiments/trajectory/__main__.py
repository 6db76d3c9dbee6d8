"""Studies of the trajectory solve on real motion before hand-held cameras.

    python -m experiments.trajectory calibration --data cmu_pairs.npz
    python -m experiments.trajectory cameras --data cmu_pairs.npz
    python -m experiments.trajectory sizes --data cmu_single.npz
    python -m experiments.trajectory streaming --data cmu_pairs.npz
    python -m experiments.trajectory windows --data cmu_pairs.npz
    python -m experiments.trajectory calibration --help

calibration   fits what the weights of Eq. 9 stand for on the training split, then asks on the validation
              split how often the truth lies inside the regions that the solve states.
cameras       compares smoothing in world axes, where the camera's motion is known or known badly, with
              smoothing in camera axes.
outliers      replaces detections by gross errors and compares losses.
focal         finds the focal length of the camera together with the paths.
sizes         compares what tells how large people are: how they look, the floor, the camera's height, theirs.
streaming     feeds the validation split frame by frame and compares what is known after each lag with what
              the whole clip tells.
windows       compares windows that are solved one after the other, as in the paper, with whole clips.

Both splits are couples of real dancers before cameras and detectors that are drawn from a seed; poses are the
true ones, so that what is judged is the path alone. But for sizes: there single people are put on one floor,
and lifted.
"""

from collections.abc import Callable

from experiments.commands import run_command, run_script
from experiments.trajectory.calibration import CalibrationConfig, run_calibration
from experiments.trajectory.cameras import CamerasConfig, run_cameras
from experiments.trajectory.focal import FocalConfig, run_focal
from experiments.trajectory.outliers import OutliersConfig, run_outliers
from experiments.trajectory.sizes import SizesConfig, run_sizes
from experiments.trajectory.streaming import StreamingConfig, run_streaming
from experiments.trajectory.windows import WindowsConfig, run_windows

COMMANDS: dict[str, tuple[type, Callable]] = {
    "calibration": (CalibrationConfig, run_calibration),
    "cameras": (CamerasConfig, run_cameras),
    "focal": (FocalConfig, run_focal),
    "outliers": (OutliersConfig, run_outliers),
    "sizes": (SizesConfig, run_sizes),
    "streaming": (StreamingConfig, run_streaming),
    "windows": (WindowsConfig, run_windows),
}


def main() -> None:
    run_command("trajectory", "studies", __doc__, COMMANDS)


if __name__ == "__main__":
    run_script(main)
