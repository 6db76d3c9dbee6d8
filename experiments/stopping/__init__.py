"""Trainings that are stopped from outside, for `experiments.reliability` and the tests."""
