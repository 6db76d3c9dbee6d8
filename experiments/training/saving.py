"""Saves beside the steps: a save is begun and written while training goes on, and what fails is named."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from etils import epath

from experiments import processes
from experiments.training import mirror as mirrors
from gated_lift.networks import checkpoints


class SaveError(RuntimeError):
    """A checkpoint could not be written; the message names the step, the reason and what is still there."""


class Saver:
    """Saves into folders of checkpoints, one save a folder at a time, and copies what is complete to a
    ``mirror``, if there is one. A copy that fails is told by ``say``, and tried again with the next save.

    seconds: how long training has waited for saves.
    """

    def __init__(
        self, mirror: epath.Path | None = None, say: Callable[[str], Any] = lambda words: None
    ) -> None:
        self.seconds = 0.0
        self._mirror, self._say = mirror, say
        self._behind: dict[Path, str] = {}  # what the newest copy of a folder failed with
        self._going: dict[Path, tuple[int, Future[Path]]] = {}

    def begin(
        self,
        folder: Path,
        step: int,
        variables: Any,
        description: Mapping[str, Any],
        optimizer: Any = None,
        keep: int = 2,
    ) -> None:
        """Waits for the save into ``folder`` before, if it still goes on, and begins the next one. Of several
        processes, which all hold the same, the first one saves.
        """
        if not processes.is_first():
            return
        started = time.perf_counter()
        self._finish(folder)
        try:
            saving = checkpoints.begin_save(folder, step, variables, dict(description), optimizer, keep)
            if self._mirror is not None:
                executor = ThreadPoolExecutor(1, thread_name_prefix="mirror")
                saving = executor.submit(self._copied, saving, folder, step)
                executor.shutdown(wait=False)
        except Exception as error:  # Orbax and file systems fail in many ways, all of which are named
            raise _named(folder, step, error) from error
        self._going[folder] = step, saving
        self.seconds += time.perf_counter() - started

    def check(self) -> None:
        """Raises SaveError for a save that has failed meanwhile; waits for nothing."""
        for folder, (_, saving) in list(self._going.items()):
            if saving.done():
                self._finish(folder)

    def finish(self) -> None:
        """Waits until all saves are complete. Raises SaveError for one that failed, and where the mirror
        lacks a newest step.
        """
        started = time.perf_counter()
        for folder in list(self._going):
            self._finish(folder)
        self.seconds += time.perf_counter() - started
        for folder, reason in self._behind.items():
            raise SaveError(
                f"the newest step of {folder} is complete but is not in the mirror ({reason}): copy the "
                "folder there by hand"
            )

    def _copied(self, saving: Future[Path], folder: Path, step: int) -> Path:
        done = saving.result()
        assert self._mirror is not None
        try:
            mirrors.push(folder, step, self._mirror)
        except OSError as error:
            self._behind[folder] = str(error)
            self._say(f"step {step} is complete in {folder} but not copied: {error}")
        else:
            self._behind.pop(folder, None)
        return done

    def _finish(self, folder: Path) -> None:
        step, saving = self._going.pop(folder, (0, None))
        if saving is None:
            return
        try:
            saving.result()
        except Exception as error:  # as in `begin`
            raise _named(folder, step, error) from error


@contextmanager
def saver(
    mirror: epath.Path | None = None, say: Callable[[str], Any] = lambda words: None
) -> Iterator[Saver]:
    """A `Saver` whose saves are complete when the block ends. Where the block raises, its error goes on, and
    that of a save is left unsaid.
    """
    made = Saver(mirror, say)
    try:
        yield made
    except BaseException:
        for _, saving in made._going.values():
            saving.exception()
        raise
    made.finish()


def _named(folder: Path, step: int, error: Exception) -> SaveError:
    reason = " ".join(str(error).split()) or type(error).__name__
    newest = checkpoints.newest_step(folder)
    kept = "no step is complete there" if newest is None else f"step {newest} is complete there"
    return SaveError(
        f"step {step} could not be saved to {folder} ({reason}); {kept}: make room or make the folder "
        "writable, and add --resume to go on"
    )
