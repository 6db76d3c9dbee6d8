"""Work on rows, of which each is a person or a window, shared by the devices of this process."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

ROWS = "rows"


def share_rows(run: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Compiles ``run(options, whole, rows)`` so that every device of this process computes as many rows.

    options: what is known before, and hashable, such as a network without its weights; compiled in.
    whole: a tree of arrays that every row needs, such as a network's weights; every device has all of it.
    rows: a tree of arrays (N, …).

    ``run`` returns a tree of arrays (N, …) in which row n depends on row n of ``rows`` alone. So no device
    waits for another: a solve takes the steps that the device's own people need. The last row is repeated
    until every device has as many, and what was computed of its copies is thrown away. The result has N rows
    and lies on the first device.

    It does not depend on the number of devices but for rounding: a device with fewer rows may add up in
    another order.
    """

    @partial(jax.jit, static_argnums=(0, 1))
    def compiled(mesh: Mesh, options: Hashable, whole: Any, rows: Any) -> Any:
        here = partial(run, options)
        if mesh.size == 1:
            return here(whole, rows)
        split = PartitionSpec(ROWS)
        specs = PartitionSpec(), split
        return jax.shard_map(here, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(whole, rows)

    def shared(options: Hashable, whole: Any, rows: Any) -> Any:
        count = len(jax.tree.leaves(rows)[0])
        mesh = _mesh(count)
        if mesh.size == 1:
            return compiled(mesh, options, whole, rows)
        more = -count % mesh.size
        rows = jax.tree.map(lambda leaf: _repeat_last(np.asarray(leaf), more), rows)
        rows = jax.device_put(rows, NamedSharding(mesh, PartitionSpec(ROWS)))
        whole = jax.device_put(whole, NamedSharding(mesh, PartitionSpec()))
        found = compiled(mesh, options, whole, rows)
        # Cut on the host: each number of rows would be a compilation.
        return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[:count]), found)

    return shared


def sharers(rows: int) -> int:
    """How many of this process's devices share so many rows."""
    return min(rows, jax.local_device_count())


def _mesh(rows: int) -> Mesh:
    devices = jax.local_devices()[: sharers(rows)]
    return jax.make_mesh((len(devices),), (ROWS,), axis_types=(AxisType.Auto,), devices=devices)


def _repeat_last(values: np.ndarray, times: int) -> np.ndarray:
    return np.concatenate([values, np.repeat(values[-1:], times, axis=0)]) if times else values
