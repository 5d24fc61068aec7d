"""What packages have to do with each other, found from what they store, with no model: facts, tensors, keys, spaces."""
