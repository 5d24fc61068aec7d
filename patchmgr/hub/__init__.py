"""The Hugging Face Hub: bases, packages and editors fetched and published. Nothing else speaks to the network."""
