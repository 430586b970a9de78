"""The program that the container runs."""

from ved.action import run

if __name__ == "__main__":
    run()
