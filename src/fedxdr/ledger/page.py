# SPDX-License-Identifier: Apache-2.0
"""Where verify.html lies: the verifier for people with a browser and nothing else.

One page without a server, built from ``verifier/``; it makes every step of verifier.py,
by docs/reference/ledger-format.md, and leaves out what epsilon the claims amount to.

Not here: how the page is made (verifier/build.mjs).
"""

from __future__ import annotations

from pathlib import Path


def path() -> Path:
    """Return the path of the page, which is shipped with the package."""
    return Path(__file__).with_name("verify.html")
