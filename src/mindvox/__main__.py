"""Run `python -m mindvox` like the command `mindvox`."""

import sys

from mindvox.cli import console

if __name__ == "__main__":
    sys.exit(console())
