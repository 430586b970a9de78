"""What the container runs; all of it is in ved.github."""

import sys

from ved.github import main

if __name__ == "__main__":
    sys.exit(main())
