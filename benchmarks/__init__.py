# SPDX-License-Identifier: Apache-2.0
"""Programs that measure fedxdr against its peers: ``python -m benchmarks.NAME``."""
