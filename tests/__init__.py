"""The tests of maro. They import what they share as `tests.support`."""
