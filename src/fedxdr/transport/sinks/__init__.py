# SPDX-License-Identifier: Apache-2.0
"""Where findings go: the organisation's files, SIEM, webhook, syslog, Kafka."""
