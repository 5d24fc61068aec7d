"""The edit package: its manifest, the encodings of its deltas, and how it is written and strictly read."""
