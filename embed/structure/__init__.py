"""Search for a known structure: rendered into the tomograms that are searched, it gives the examples."""
