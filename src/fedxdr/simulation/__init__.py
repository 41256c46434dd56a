# SPDX-License-Identifier: Apache-2.0
"""A world to try things in, seeded: traffic of several organisations and a campaign."""
