"""Groups of real Proxies in simulated time: seeded faults, ordinary applications, and a checker of what they saw."""
