# SPDX-License-Identifier: Apache-2.0
"""What commands print: JSON for programs, tables and sentences for people."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from typing_extensions import override

from fedxdr.core.errors import FedxdrError

OUT = Console()
ERR = Console(stderr=True)


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False))


def complain(error: FedxdrError) -> None:
    """Print an error as one line on standard error."""
    ERR.print(f"[bold red]error[/] ({error.code}): ", end="")
    ERR.print(str(error), markup=False, highlight=False, soft_wrap=True)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print rows under a title; all but the first column are right-aligned."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(columns):
        # wrapped, never cut: a digest that is half there is none
        justify: Literal["left", "right"] = "left" if place == 0 else "right"
        made.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*row)
    OUT.print(made)


class _Fields(logging.Formatter):
    """One line per record: time, level, sentence, fields."""

    _known = frozenset(
        vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": 0}
    )

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = " ".join(
            f"{name}={value}"
            for name, value in vars(record).items()
            if name not in self._known and name != "taskName"
        )
        line = f"{self.formatTime(record)} {record.levelname:<7} {record.getMessage()}"
        if fields:
            line = f"{line} [{fields}]"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def start_logging(*, level: str = "INFO") -> None:
    """Send log records to standard error, one line each.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Fields())
    root = logging.getLogger("fedxdr")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
