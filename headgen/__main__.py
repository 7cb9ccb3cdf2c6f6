"""``python -m headgen`` is the command line."""

import sys

from headgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
