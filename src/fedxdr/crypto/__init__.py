# SPDX-License-Identifier: Apache-2.0
"""The one door to `cryptography`: keys, signatures, agreement, expansion, sealing."""
