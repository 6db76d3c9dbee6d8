"""What keeps a long run from losing work: signals are answered, a folder has one writer, a stall is shown."""

import faulthandler
import os
import signal
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
from jax.experimental import multihost_utils

from experiments import processes

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two runs into one folder go unnoticed
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
# The signals that ask a run to stop, and what it then exits with: a scheduler that takes the machine back is
# answered with success, a person at the keyboard with what shells expect.
EXIT_CODES = {signal.SIGTERM: 0, signal.SIGINT: 130}


class Interrupted(SystemExit):
    """A run has saved where it was and stops, because it was asked to; ``code`` is what to exit with."""


# --------------------------------------------------------------------------------------------- signals


@contextmanager
def stop_signals() -> Iterator[Callable[[int], signal.Signals | None]]:
    """Inside, SIGTERM and SIGINT end nothing: asked(step), which is yielded, says which of them has come, or
    None. A second signal ends the process at once. Outside of the main thread, which alone receives signals,
    nothing is asked.

    Where several processes train together, all of them have to stop after the same step, whichever of them
    was sent a signal or was told by JAX's preemption service that its machine is taken back. So every process
    has to call asked(step) for every step, and all are told the same, one step later. The service names a
    step too, but once two processes understood different steps, and one waited for the other.
    """
    received: list[signal.Signals] = []
    before: dict[signal.Signals, Any] = {}

    def receive(number: int, frame: Any) -> None:
        received.append(signal.Signals(number))
        # The system's own answer ends the process even while it waits inside a library.
        for each in EXIT_CODES:
            signal.signal(each, signal.SIG_DFL)

    exchange = processes.latest_greatest() if jax.process_count() > 1 else None

    def asked(step: int) -> signal.Signals | None:
        number = received[0] if received else None
        if exchange is None:
            return number
        if multihost_utils.reached_preemption_sync_point(step):
            number = signal.SIGTERM
        greatest = exchange(number or 0)
        return signal.Signals(greatest) if greatest else None

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in EXIT_CODES}
        for number in EXIT_CODES:
            signal.signal(number, receive)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            # A handler that was not set from Python, as that of JAX's service, is told as None.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def stop(number: signal.Signals, kept: str, say: Callable[[str], object]) -> NoReturn:
    """Ends a run that ``number`` asked to stop, once all is saved that can be: says on one line that it ends,
    and raises `Interrupted` with the code that whoever sent the signal expects.

    kept: what is saved, what is lost and how to go on. say: prints a line.
    """
    say(f"{number.name}: stopped; {kept}")
    raise Interrupted(EXIT_CODES[number])


def resumable(saved: int, steps: int, folder: Path) -> str:
    """What `stop` says of a run that can go on from its checkpoints in ``folder``.

    saved: the step of the newest one, 0 where there is none.
    """
    kept = f"step {saved} of {steps} is saved in {folder}" if saved else "no step had been taken"
    return f"{kept}; the same command with --resume goes on"


# ---------------------------------------------------------------------------------------------- folder


@contextmanager
def only_run(output: Path) -> Iterator[Callable[[], None]]:
    """Locks a run folder, which has to be there, for as long as the block runs. The system releases the lock
    of a process that ends in whatever way.

    Yields check(), which raises FileNotFoundError once the folder has been deleted or replaced. Raises
    ValueError where another process holds the lock. Of several processes that train together the first one
    locks for all.
    """
    if jax.process_index() > 0 or fcntl is None:
        yield lambda: None
        return
    path = output / LOCK
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"output {output} is being written by another run ({file.read().strip()}): wait for it, stop "
                "it, or choose another folder"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        file.flush()
        locked = os.fstat(file.fileno())

        def check() -> None:
            try:
                same = path.stat().st_ino == locked.st_ino
            except FileNotFoundError:
                same = False
            if not same:
                raise FileNotFoundError(
                    f"output {output} was deleted, moved or replaced while the run was writing to it: put it "
                    "back and add --resume, or start again"
                )

        yield check


# ---------------------------------------------------------------------------------------------- stalls


class Watchdog(NamedTuple):
    """finished(): a step has ended. rest(): what follows is no step, and may take as long as it likes."""

    finished: Callable[[], None]
    rest: Callable[[], None]


@contextmanager
def watchdog(times: float = 10, least: float = 30, file: Any = None) -> Iterator[Watchdog]:
    """Prints the stack of every thread when no step has finished for ``times`` the median of the last hundred
    and for ``least`` seconds, and lets the run go on: whoever looks at a run that hangs sees where.

    It begins to watch after five steps. file: with a descriptor; standard error by default.
    """
    file = file or sys.__stderr__
    seconds: deque[float] = deque(maxlen=100)
    mark: float | None = None

    def finished() -> None:
        nonlocal mark
        now = time.perf_counter()
        if mark is not None:
            seconds.append(now - mark)
        mark = now
        if len(seconds) >= 5:
            limit = max(least, times * statistics.median(seconds))
            faulthandler.dump_traceback_later(limit, file=file)

    def rest() -> None:
        nonlocal mark
        mark = None
        faulthandler.cancel_dump_traceback_later()

    try:
        yield Watchdog(finished, rest)
    finally:
        faulthandler.cancel_dump_traceback_later()
