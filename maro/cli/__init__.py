"""The `maro` command: signals, exit codes, and what a terminal shows. It holds no logic of its own."""
