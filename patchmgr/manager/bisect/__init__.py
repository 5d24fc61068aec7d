"""``bisect``: which package of a stack, or which change in the history of a model, turned good into bad."""
