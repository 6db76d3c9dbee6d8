"""Judges lifters by what people do: lying, upside down, sitting, turning fast, walking, standing.

    python -m experiments.by_kind --checkpoint two_stream --data cmu_single.npz cmu_fbx_single.npz

The kind of every frame follows from the true motion (`experiments.judging.kinds`). People, cameras,
detections and masks are those of `experiments.evaluate`: the validation split of every file, which has
columns of its own, once with nothing hidden and once with joints hidden one by one. Kinds that nobody there
shows are made of the same motion: the poses are turned about the hips by code.
"""

import tyro

from experiments.commands import run_script
from experiments.judging.by_kind import ByKind, run


def main() -> None:
    run(tyro.cli(ByKind, description=__doc__))


if __name__ == "__main__":
    run_script(main)
