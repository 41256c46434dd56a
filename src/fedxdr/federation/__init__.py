# SPDX-License-Identifier: Apache-2.0
"""The protocol: plan, messages, and two machines without input or output.

``rounds.py`` is the orchestrator's side of a round, ``sessions.py`` an organisation's.
Facts go in, what is due comes out, time is an argument.
"""
