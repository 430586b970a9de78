"""python -m ved."""

from ved.cli import run

if __name__ == "__main__":
    run()
