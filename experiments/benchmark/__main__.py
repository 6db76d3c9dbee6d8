"""Speed of the project's parts against what one would use otherwise, measured side by side in one run.

python -m experiments.benchmark trajectory
python -m experiments.benchmark trajectory --frames 100 1000 --people 1 32 --repeats 9 --output trajectory.md
python -m experiments.benchmark elimination --frames 1000 10000 --people 1 32
python -m experiments.benchmark streaming --people 1 10 --lags 25 100
python -m experiments.benchmark training --channels 128
python -m experiments.benchmark inference --frames 128
python -m experiments.benchmark live --people 1 4 --frames 20000
python -m experiments.benchmark long_video --frames 10000
python -m experiments.benchmark accelerator --minutes 9    # of a rented GPU or TPU
"""

from collections.abc import Callable

from experiments.benchmark.accelerator import AcceleratorBenchmark, run_accelerator
from experiments.benchmark.elimination import EliminationBenchmark, run_elimination
from experiments.benchmark.inference import InferenceBenchmark, run_inference
from experiments.benchmark.live import LiveBenchmark, run_live
from experiments.benchmark.long_video import LongVideoBenchmark, run_long_video
from experiments.benchmark.streaming import StreamingBenchmark, run_streaming
from experiments.benchmark.training import TrainingBenchmark, run_training
from experiments.benchmark.trajectory import TrajectoryBenchmark, run_trajectory
from experiments.commands import run_command, run_script

COMMANDS: dict[str, tuple[type, Callable]] = {
    "trajectory": (TrajectoryBenchmark, run_trajectory),
    "elimination": (EliminationBenchmark, run_elimination),
    "streaming": (StreamingBenchmark, run_streaming),
    "training": (TrainingBenchmark, run_training),
    "inference": (InferenceBenchmark, run_inference),
    "live": (LiveBenchmark, run_live),
    "long_video": (LongVideoBenchmark, run_long_video),
    "accelerator": (AcceleratorBenchmark, run_accelerator),
}


def main() -> None:
    run_command("benchmark", "benchmarks", __doc__, COMMANDS)


if __name__ == "__main__":
    run_script(main)
