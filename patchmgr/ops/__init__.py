"""What is done to weights: exact sums, states, plans, and generations on disk. No SQL and no torch."""
