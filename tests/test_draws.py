"""Named keys are nobody else's."""

import jax
import numpy as np

from experiments.draws import NAMED, named_key


def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_named_keys_are_nobody_elses():
    key = jax.random.key(0)
    # What the names are for: these two are one and the same.
    assert data(jax.random.fold_in(key, 5)) == data(jax.random.split(key, 8)[5])
    names = [data(named_key(key, name)) for name in ("bodies", "halves", "turns", "statistics")]
    steps = {data(jax.random.fold_in(key, number)) for number in range(2000)}
    parts = {data(part) for count in (2, 5, 8, 1000) for part in jax.random.split(key, count)}
    again = {data(part) for part in jax.random.split(jax.random.fold_in(key, NAMED), 1000)}
    assert len(set(names)) == len(names) and not set(names) & (steps | parts | again)
    assert names[0] == data(named_key(key, "bodies")) != data(named_key(jax.random.key(1), "bodies"))
    assert NAMED >= 2**31  # no split and no step comes as far
