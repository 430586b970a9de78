"""What the container runs; all of it is in ved.action."""

from ved.action.main import run

if __name__ == "__main__":
    run()
