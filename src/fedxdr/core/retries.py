# SPDX-License-Identifier: Apache-2.0
"""Attempts that failed and are made again go into the log.

stamina's own hook would print them, on standard output, where ``--json`` belongs. Who
retries takes ``retry_context`` from here, so that the hook is set.
"""

from __future__ import annotations

import logging

from stamina import retry_context
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

__all__ = ["retry_context"]

logger = logging.getLogger("fedxdr.retries")


def _note_retry(details: RetryDetails) -> None:
    """Log an attempt that failed."""
    logger.debug(
        "trying again",
        extra={"attempt": details.retry_num, "reason": str(details.caused_by)},
    )


set_on_retry_hooks([_note_retry])
