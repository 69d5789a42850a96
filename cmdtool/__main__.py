"""`python -m cmdtool` is `cmdtool`."""

from cmdtool.cli import main

if __name__ == "__main__":
    main()
