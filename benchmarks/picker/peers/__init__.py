"""Our picker beside the networks others train, by number of labelled tomograms and at equal processor time."""
