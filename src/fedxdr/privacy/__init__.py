# SPDX-License-Identifier: Apache-2.0
"""What keeps single records private: pseudonyms of entities."""

from fedxdr.privacy.pseudonym import Pseudonymiser

__all__ = ["Pseudonymiser"]
