"""Several processes that train one network: how they find each other, and what has to be agreed between them.

Every process runs the same program. What it writes, logs and prints, the first one writes, logs and prints
for all; everything else they do alike, so that their collectives meet.
"""

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console

# Seconds for which a file of the first process may take to be seen by the others, on a network's disk.
SEEN_WITHIN = 10.0
TOKEN = "together"

Done = TypeVar("Done")


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int = 60,
) -> None:
    """Connects this process to the others, before anything asks for devices.

    coordinator: address and port of the first process, such as 10.0.0.1:1234; it listens there and nowhere
    else. processes: how many there are. process_id: which of them this is, from 0. All three are None where
    the environment says so (a TPU pod, SLURM, Open MPI, Kubernetes). heartbeat_seconds: a process that is
    silent for so long is taken for dead, and the others end.

    Raises ValueError where neither flags nor environment say who the others are, and where they cannot be
    reached.
    """
    given = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    if any(value is not None for value in given.values()) and None in given.values():
        missing = ", ".join(f"--{name.replace('_', '-')}" for name, value in given.items() if value is None)
        raise ValueError(f"{missing} is missing: give all three of them, or none on a TPU pod or SLURM")
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise ValueError(f"coordinator is {coordinator}: give address and port, such as 10.0.0.1:1234")
    if not os.environ.get("JAX_PLATFORMS", "").startswith(("tpu", "cuda", "gpu", "rocm")):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            coordinator_bind_address=coordinator,
            heartbeat_timeout_seconds=heartbeat_seconds,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"distributed: the other processes are not known or cannot be reached ({reason}): on a TPU pod "
            "or SLURM give --distributed alone, elsewhere --coordinator HOST:PORT --processes N and "
            "--process-id I"
        ) from error


def is_first() -> bool:
    """Whether this process writes and prints for all."""
    return jax.process_index() == 0


def console_of(console: Console) -> Console:
    """The console for the first process, one that says nothing for the others."""
    return console if is_first() else Console(quiet=True)


def together(work: Callable[[], Done]) -> Done:
    """What ``work`` returns, of something that may fail in any process, and fails in all where it failed in
    one: who goes on alone would wait for the others for ever.

    Raises what ``work`` raises here, or ValueError with the numbers of the processes in which it failed.
    """
    if jax.process_count() == 1:
        return work()
    error: Exception | None = None
    try:
        done = work()
    except (ValueError, OSError) as raised:
        error = raised
    failed = np.flatnonzero(multihost_utils.process_allgather(np.array(error is not None)))
    if error is not None:
        raise error
    if len(failed):
        raise ValueError(
            f"process {', '.join(map(str, failed))} of this run could not begin: its own message says why"
        )
    return done


def latest_greatest() -> Callable[[int], int]:
    """Returns exchange(number), which every process calls equally often: the greatest of the numbers, whole
    and from 0, that the processes gave the call before, and so the same in all; the first call answers for
    itself.

    A call begins to gather and is answered by the next one, so that between two steps of a training nobody
    waits for what has only begun.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("devices"))
    greatest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))
    before: jax.Array | None = None

    def exchange(number: int) -> int:
        nonlocal before
        here = np.full(jax.local_device_count(), number, np.int32)
        begun = greatest(jax.make_array_from_process_local_data(split, here))
        answer, before = begun if before is None else before, begun
        return int(answer)

    return exchange


def check_alike(name: str, value: str, mend: str) -> None:
    """Raises ValueError in all processes unless all have the same value. name: what it is, in the message."""
    digest = np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint8)
    if jax.process_count() > 1:
        digests = multihost_utils.process_allgather(digest)
        others = np.flatnonzero((digests != digests[0]).any(axis=1))
        if len(others):
            raise ValueError(
                f"{name} of process {', '.join(map(str, others))} differs from that of process 0: {mend}"
            )


def lost(error: Exception) -> ConnectionError:
    """What to say when a collective fails: nearly always another process has ended."""
    reason = " ".join(str(error).split())
    return ConnectionError(
        f"another process of this run has ended or cannot be reached, and process {jax.process_index()} ends "
        f"too: start all of them again with --resume ({reason[:200]})"
    )


def leave(code: int) -> None:
    """Ends this process. Where there are others it does not wait for them, which may never come: they end
    with its heartbeat.
    """
    if jax.process_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def as_numpy(tree: Any) -> Any:
    """Arrays of which every device has a copy, as NumPy's where there are several processes: what leaves the
    compiled program for files and for work of one process alone.
    """
    return jax.tree.map(np.asarray, tree) if jax.process_count() > 1 else tree


def check_one_folder(output: Path) -> None:
    """Raises ValueError, in all processes, unless all have the same folder for their output, on one disk:
    they would wait for each other's files. The first process has made the folder.
    """
    if jax.process_count() == 1:
        return
    token = np.frombuffer(secrets.token_bytes(16), np.uint8)
    path = output / TOKEN
    if is_first():
        path.write_bytes(token.tobytes())
    token = np.asarray(multihost_utils.broadcast_one_to_all(token))

    def look() -> None:
        until = time.monotonic() + SEEN_WITHIN
        while True:
            try:
                if path.read_bytes() == token.tobytes():
                    return
            except OSError:
                pass
            if time.monotonic() > until:
                raise ValueError(
                    f"output {output} of process {jax.process_index()} is not the folder of process 0: give "
                    "every process the same --output, on a disk that all of them see"
                )
            time.sleep(0.2)

    try:
        together(look)
    finally:
        if is_first():
            path.unlink(missing_ok=True)
