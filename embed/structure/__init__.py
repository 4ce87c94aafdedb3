"""Search for a known structure: rendered into the tomograms that are searched, it gives the examples."""

LIBRARY = "library"  # in place of names: every complex that comes along
