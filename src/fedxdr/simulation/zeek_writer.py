# SPDX-License-Identifier: Apache-2.0
"""Zeek's records as Zeek writes them by default: one file per log, tab-separated.

It does NOT decide what is in a record (zeek_logs.py).

Source: Zeek documentation, "Zeek Log Formats and Inspection"; Zeek's source,
threading/formatters/Ascii.cc and logging/writers/ascii/Ascii.cc.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from fedxdr.simulation.sessions import SECOND_US, Sessions
from fedxdr.simulation.zeek_logs import LOGS, zeek_records

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\x09", "\n": "\\x0a"})


def zeek_lines(
    made: Sessions,
    *,
    addresses: Sequence[str],
    uids: Sequence[str],
    found_out: dict[int, str],
    start_us: int,
) -> Iterator[str]:
    """Yield the lines of ``conn.log`` in order, header first.

    Args:
        made: n sessions, by ascending start.
        addresses: one per host of the estate.
        uids: n identifiers.
        found_out: technique of the sessions that an incident team labelled malicious,
            by session number.
        start_us: when the world began, microseconds since 1970.
    """
    yield from header("conn", opened_us=start_us)
    for record in zeek_records(
        made, addresses=addresses, uids=uids, found_out=found_out, start_us=start_us
    ):
        yield line(record.log, record.values)
    yield close(start_us + int(1e6 * (made.start_s[-1] if len(made) else 0)))


def header(log: str, *, opened_us: int) -> list[str]:
    """Return the lines before the first record.

    Args:
        log: which of ``LOGS``.
        opened_us: when the file was begun, microseconds since 1970.
    """
    return [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        f"#path\t{log}",
        f"#open\t{_stamp(opened_us)}",
        "#fields\t" + "\t".join(name for name, _ in LOGS[log]),
        "#types\t" + "\t".join(kind for _, kind in LOGS[log]),
    ]


def close(closed_us: int) -> str:
    """Return the line that ends a file which Zeek has rotated away."""
    return f"#close\t{_stamp(closed_us)}"


def line(log: str, values: Mapping[str, Any]) -> str:
    """Return a record as a line.

    Args:
        log: which of ``LOGS``.
        values: see ``zeek_logs.Record``.
    """
    return "\t".join(_cell(kind, values.get(name)) for name, kind in LOGS[log])


def _cell(kind: str, value: Any) -> str:  # noqa: ANN401 - of the column's type
    if value is None:
        return "-"
    match kind:
        case "time" | "interval":
            return f"{value // SECOND_US}.{value % SECOND_US:06d}"
        case "bool":
            return "T" if value else "F"
        case "count" | "port":
            return str(value)
        case _ if isinstance(value, tuple):
            return ",".join(value) or "(empty)"
        case _:
            return str(value).translate(_ESCAPES)


def _stamp(time_us: int) -> str:
    text = str(np.datetime_as_string(np.datetime64(time_us, "us"), unit="s"))
    return text.translate(str.maketrans("T:", "--"))
