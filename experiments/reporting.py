"""Consoles, and tables for the terminal and for documents, of one list of rows."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

# Characters: no table is as wide.
UNBOUNDED = 10_000


def console() -> Console:
    """A console on standard output, as wide as the terminal. Into a pipe or a file, where there is none,
    lines are as long as what is printed. ``COLUMNS`` overrides both. Tables are never cut (`show`).
    """
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=UNBOUNDED)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], names: int) -> list[str]:
    """The lines of a Markdown table; the first ``names`` columns are words, the others numbers."""
    rule = "|" + "---|" * names + "---:|" * (len(columns) - names)
    head, *body = (f"| {' | '.join(cells)} |" for cells in (columns, *rows))
    return [head, rule, *body]


def show(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table. One that is wider than the console is printed as wide as it is, for the terminal to
    wrap, where rich would cut names and numbers to fit.
    """
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    unbounded = Console(file=console.file, force_terminal=console.is_terminal, width=UNBOUNDED)
    width = unbounded.measure(table).maximum
    (console if width <= console.width else unbounded).print(table)


def report(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    path: Path,
    names: int = 1,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> None:
    """Prints a table and writes it to ``path`` as Markdown, between lines that only the document has."""
    show(console, columns, rows)
    above = [*before, ""] if before else []
    below = ["", *after] if after else []
    lines = [*above, *markdown(columns, rows, names), *below]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
