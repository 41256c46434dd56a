# SPDX-License-Identifier: Apache-2.0
"""Certificates: who is trusted."""

from __future__ import annotations

import ssl

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.transport.sinks.sink import tls_context


def test_names_and_certificates_are_checked(tls):
    trusted, _ = tls
    for context in (tls_context(trusted), tls_context(None)):
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_that_is_none(tmp_path, text):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidSettings, match="no file of certificates"):
        tls_context(path)
