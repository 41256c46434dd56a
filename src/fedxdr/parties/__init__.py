# SPDX-License-Identifier: Apache-2.0
"""The parties: orchestrator and organisation, over ports that others implement."""
