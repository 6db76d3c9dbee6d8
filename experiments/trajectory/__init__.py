"""Studies of the trajectory solve: ``python -m experiments.trajectory``."""
