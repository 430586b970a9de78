"""What the container runs; all of it is in ved.github."""

from ved.github import run

if __name__ == "__main__":
    run()
