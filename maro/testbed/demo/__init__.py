"""The demo: a learner trains on its actors; one is killed half way, comes back under its name, and training goes on.

`python -m maro.testbed.demo` shows it with local processes, and with `--docker` in containers; `scripts/demo` sets up
what either needs.
"""
