"""Trainings in processes of their own, stopped from outside or on other numbers of devices, for
`experiments.reliability` and the tests.
"""
