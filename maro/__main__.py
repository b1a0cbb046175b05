"""`python -m maro` is the `maro` command."""

from maro.cli.main import main

if __name__ == "__main__":
    main()
