# SPDX-License-Identifier: Apache-2.0
"""How far a flow of Suricata's got.

It does NOT read records (suricata.py), and says nothing of signing on
(suricata_types.py).

Source: Suricata 8 user guide, "EVE JSON Format", ``flow.state`` and
``tcp.tcp_flags_ts``; RFC 9293 section 3.1 for the flags.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.catalogue import State

_FIN, _SYN, _RST = 0x01, 0x02, 0x04
_FLAGS: Final = {f"{value:02x}": value for value in range(256)}
_STATES: Final = {
    "new": State.ATTEMPTED,
    "established": State.ESTABLISHED,
    "closed": State.COMPLETED,
}


def flags_of(text: str | None) -> int:
    """Return TCP flags written as two hexadecimal digits, 0 where there are none."""
    return _FLAGS.get((text or "").lower(), 0)


def state_of(text: str | None) -> State:
    """Return what Suricata's own word for a flow's state tells."""
    return _STATES.get(text or "", State.UNKNOWN)


def states(
    told: NDArray[np.int64],
    *,
    is_tcp: NDArray[np.bool_],
    replied: NDArray[np.bool_],
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64],
) -> NDArray[np.int16]:
    """Return how far flows got: by their TCP flags, or else by what Suricata says.

    Args:
        told: (n,) int64, ``flow.state`` as a ``State``.
        is_tcp: (n,) bool.
        replied: (n,) bool, whether any packet came back.
        ours: (n,) int64, TCP flags seen from the source, 0 unknown.
        theirs: (n,) int64, TCP flags seen from the destination.
    """
    without_flags = (ours == 0) & (theirs == 0)
    ended = (ours & _FIN).astype(bool), (theirs & _FIN).astype(bool)
    choices: list[tuple[NDArray[np.bool_], State]] = [
        (~is_tcp & replied, State.COMPLETED),
        (~is_tcp, State.ATTEMPTED),
        (
            (theirs & _RST > 0) & (theirs & _SYN == 0) & (ours & _SYN > 0),
            State.REJECTED,
        ),
        (~replied & (ours & (_RST | _FIN) > 0), State.ABANDONED),
        (~replied, State.ATTEMPTED),
        (ours & _SYN == 0, State.PARTIAL),
        (ours & _RST > 0, State.RESET_BY_SOURCE),
        (theirs & _RST > 0, State.RESET_BY_DESTINATION),
        (ended[0] & ended[1], State.COMPLETED),
        (ended[0] | ended[1], State.HALF_CLOSED),
    ]
    by_flags = np.select(
        [condition for condition, _ in choices],
        [np.int16(state) for _, state in choices],
        np.int16(State.ESTABLISHED),
    )
    return np.where(is_tcp & without_flags, told, by_flags)
