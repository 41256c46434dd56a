# SPDX-License-Identifier: Apache-2.0
"""Anchors: a checkpoint's root on an Ethereum-compatible chain, as extra evidence.

Never in the trust path: no round, block or verdict waits for a chain, and nothing in
this house becomes true because a chain says so. An anchor bounds back-dating, even
where all organisations collude: this root existed when that block was made.
"""

import sys

RECURSION_LIMIT = sys.getrecursionlimit()
"""What this process had before web3 came; see evm.py."""
