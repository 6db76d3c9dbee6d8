"""Keys of random draws that have a name, so that no two draws have the same key by accident."""

import zlib

import jax

# `jax.random.split` gives the keys that `fold_in` gives for 0, 1, 2, ...: nobody splits a key so often.
NAMED = 0xD4A35EED


def named_key(key: jax.Array, name: str) -> jax.Array:
    """The key of the draw ``name``, which is neither one of `jax.random.split` of ``key`` nor of another
    name.
    """
    return jax.random.fold_in(jax.random.fold_in(key, NAMED), zlib.crc32(name.encode()))
