# SPDX-License-Identifier: Apache-2.0
"""Models: the temporal graph's bounded context, networks, snapshots, measures."""
