"""The entry point of the container."""

from ved.action.main import run

if __name__ == "__main__":
    run()
