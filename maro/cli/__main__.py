"""`python -m maro.cli` is the `maro` command, for an interpreter whose scripts are not on PATH."""

from maro.cli.main import main

if __name__ == "__main__":
    main()
