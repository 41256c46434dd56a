# SPDX-License-Identifier: Apache-2.0
"""Detectors: neighbourhoods in time, the temporal graph network, snapshots, metrics.

``torch`` is needed by tgnn.py and parameters.py only, so nothing is imported here: an
orchestrator and ``fedxdr verify`` read snapshots without it.
"""
