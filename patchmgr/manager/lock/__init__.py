"""The wanted state of models as two files: ``patches.toml``, written by hand, and ``patches.lock``, made from it."""
