# SPDX-License-Identifier: Apache-2.0
"""The ledger: entries, blocks, statements, Merkle tree, bundle, offline verifier.

No storage, network or torch here: everything is a function of values and bytes.
"""
