"""``patchmgr diff``: finding the two sides, and from the registry, the packages and the model what they differ in."""
