# SPDX-License-Identifier: Apache-2.0
"""The numbered steps of an audit, and how a failure gets its number and height.

The numbers are those of the verifier, of its documentation and of every failure's
``step``. Steps 0, 1 and 3 are about bytes and made while a bundle is read (bundle.py);
the others are about what the blocks say (verifier.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from fedxdr.core.errors import InvalidInput, VerificationFailed


class Step(StrEnum):
    """One step; the value is what a failure carries."""

    CONTAINER = "0 container"
    FORM = "1 canonical form"
    LINKS = "2 hash links"
    SIGNATURES_DIGEST = "3 signatures digest"
    CONTRIBUTIONS = "4 contribution statements"
    ACCEPTANCES = "5 acceptance statements"
    MEMBERSHIP = "6 membership"
    METRICS = "7 metrics and counts"
    PRIVACY = "8 privacy parameters"
    LINEAGE = "9 lineage"
    HEAD = "10 merkle root and checkpoint"
    QUORUM = "11 cosignature quorum"
    MODELS = "12 model files"


@contextmanager
def located(step: Step, height: int | None = None) -> Iterator[None]:
    """Give what is refused inside a step number and height.

    Raises:
        VerificationFailed: for any ``InvalidInput`` raised inside, and for JSON nested
            deeper than Python follows; one that is located already goes through
            unchanged.
    """
    try:
        yield
    except VerificationFailed:
        raise
    except InvalidInput as error:
        raise VerificationFailed(str(error), step=step, height=height) from error
    except RecursionError as error:
        raise VerificationFailed(
            "nested too deeply", step=step, height=height
        ) from error


def require(
    holds: bool, message: str, *, step: Step, height: int | None = None
) -> None:
    """Refuse what does not hold.

    Raises:
        VerificationFailed: ``holds`` is false.
    """
    if not holds:
        raise VerificationFailed(message, step=step, height=height)
