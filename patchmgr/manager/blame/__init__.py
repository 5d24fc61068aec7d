"""``blame``: which package and edit answers a prompt, and which packages wrote a tensor."""
