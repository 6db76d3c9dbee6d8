"""What XLA compiles, counted: code that is called again with shapes it knows compiles nothing anew."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def compilations() -> Iterator[list[float]]:
    """A list of the seconds of every compilation inside the block so far."""
    compiled, inside = [], True

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if inside and event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    # JAX 0.8 has no way to take a listener back.
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        inside = False
