"""How fine the encoder's maps are, in voxels along the edge of a cell; to be known without loading a network."""

EMBEDDING_STRIDE = 4  # of vectors and particle scores
COARSEST_STRIDE = 8  # of the transformer: sizes of what goes in are multiples of it
