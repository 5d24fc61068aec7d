"""The verbs: everything that the command line and the Python API can do, on one registry."""
