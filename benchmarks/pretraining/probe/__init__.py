"""What a representation is worth: few-shot search, linear probes and localisation on complexes it never saw."""
