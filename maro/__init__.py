"""Message passing for learner/actor systems that survives crashes, and a testbed that proves it."""

__version__ = "0.1.0"
