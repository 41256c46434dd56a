# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface of the orchestrator: routes, problems, who may do what."""
