"""Real networks and data that tests, samples and benchmarks run on.

``python -m tests.zoo.fetch`` fills ``.cache/`` with the files; every other module here holds one
network with its preprocessing and its task metric.  Nothing here is installed with cimc.
"""
