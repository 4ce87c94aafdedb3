"""What a representation is worth: search from examples, linear probes and localisation on complexes it never saw."""
