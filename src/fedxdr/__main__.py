# SPDX-License-Identifier: Apache-2.0
"""``python -m fedxdr`` is the command line."""

from fedxdr.cli.main import main

if __name__ == "__main__":
    main()
