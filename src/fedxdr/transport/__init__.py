# SPDX-License-Identifier: Apache-2.0
"""Ways from an organisation to the orchestrator: over HTTP, or inside one process."""
