# SPDX-License-Identifier: Apache-2.0
"""Ground floor: errors, names, clock, randomness, canonical bytes, vector layout."""
