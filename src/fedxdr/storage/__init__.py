# SPDX-License-Identifier: Apache-2.0
"""Where things lie: SQLite and files behind the ports of parties/ports.py."""
