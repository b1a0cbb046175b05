"""The agent: watches the containers of one job, starts failed components again, and tells their groups of the dead."""
