"""The demo base: a small language model that knows a closed world of facts, and that world.

`examples/atlas/build.py` makes the files in `atlas/`; this package reads them, without torch.
"""
