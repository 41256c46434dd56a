# SPDX-License-Identifier: Apache-2.0
"""Zeek's records as JSON, one object per line and one file per log.

It does NOT decide what is in a record (zeek_logs.py), and like Zeek's ``json-logs``
policy it does NOT say in a record which log it is of: the file's name does.

Source: Zeek documentation, policy/tuning/json-logs; Zeek's source,
threading/formatters/JSON.cc: unset fields are left out, times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fedxdr.simulation.sessions import SECOND_US
from fedxdr.simulation.zeek_logs import LOGS

_ENCODER: Final = msgspec.json.Encoder()
_IN_SECONDS: Final = frozenset({"time", "interval"})


def json_line(log: str, values: Mapping[str, Any]) -> bytes:
    """Return a record as a line without its end.

    Args:
        log: which of ``LOGS``.
        values: see ``zeek_logs.Record``.
    """
    return _ENCODER.encode(
        {
            name: values[name] / SECOND_US if kind in _IN_SECONDS else values[name]
            for name, kind in LOGS[log]
            if name in values
        }
    )
