"""A progress bar for what takes longer than a moment."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PATIENCE = 2.0  # seconds without a word

Item = TypeVar("Item")


def counted(items: Iterable[Item], total: int, words: str, unit: str = "frames") -> Iterator[Item]:
    """Passes items on. After `PATIENCE` seconds a bar on standard error says how many of ``total`` have gone
    by, how many a second, and how long the rest will take; shorter work stays silent.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:.0f} " + unit + "/s"),
        TimeRemainingColumn(),
    )
    begin = time.monotonic()
    progress: Progress | None = None
    try:
        for count, item in enumerate(items):
            passed = time.monotonic() - begin
            if progress is None and passed > PATIENCE:
                progress = Progress(*columns, console=Console(stderr=True), transient=True)
                task = progress.add_task(words, total=total, rate=0.0)
                progress.start()
            if progress is not None:
                progress.update(task, completed=count, rate=count / passed)
            yield item
    finally:
        if progress is not None:
            progress.stop()
