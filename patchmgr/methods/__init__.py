"""How methods and other plugins come in: hooks, the contract of a method, the loader."""
