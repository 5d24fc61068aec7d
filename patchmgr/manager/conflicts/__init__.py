"""What packages have to do with each other: found in what they store, tried on the model, refused or put on record."""
