# SPDX-License-Identifier: Apache-2.0
"""Where an organisation's findings go: its own files, SIEM, webhook, syslog or Kafka."""
