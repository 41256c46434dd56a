# SPDX-License-Identifier: Apache-2.0
"""Local learning: examples from telemetry, fits, and whether federation pays."""
