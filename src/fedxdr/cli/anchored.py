# SPDX-License-Identifier: Apache-2.0
"""``server run`` with anchors: its options, and what they start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedxdr.api.service import Service
from fedxdr.app.anchoring import Target, anchoring
from fedxdr.cli.anchors import secret_in, the_extra
from fedxdr.core.errors import InvalidSettings


def anchor_target(
    rpc: str | None, contract: str | None, key: Path | None
) -> Target | None:
    """Return where `server run` anchors; None: nowhere.

    Raises:
        InvalidSettings: some of the three are missing, or there is no key.
    """
    if rpc is None and contract is None and key is None:
        return None
    if rpc is None or contract is None or key is None:
        raise InvalidSettings(
            "--anchor-rpc, --anchor-contract and --anchor-key go together"
        )
    return Target(rpc=rpc, contract=contract, secret=secret_in(key))


@contextmanager
def anchored(service: Service, folder: Path, target: Target | None) -> Iterator[None]:
    """Anchor heads while the block runs; without a target, just run it.

    Raises:
        InvalidSettings: the extra is missing.
    """
    if target is None:
        yield
        return
    with ExitStack() as stack:
        with the_extra():
            stack.enter_context(anchoring(service, folder, target))
        yield
