"""Models in memory: loading a state, pairing its parameters with a checkpoint's tensors, and replacing some exactly."""
