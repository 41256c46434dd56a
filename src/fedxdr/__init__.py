# SPDX-License-Identifier: Apache-2.0
"""Federated detection for security operations centres.

Each organisation trains on its own telemetry; only clipped, masked and signed
contributions leave it; every global model stands on a ledger that any member verifies
offline. Start with docs/adr/0001-the-house.md; each package's docstring tells its room.
"""

__version__ = "0.1.0"
