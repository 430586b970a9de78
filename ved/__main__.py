"""python -m ved."""

import sys

from ved.cli import main

if __name__ == "__main__":
    sys.exit(main())
