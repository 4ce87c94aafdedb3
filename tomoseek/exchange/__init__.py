"""Ways in and out of copick projects: volumes and coordinates of other programs."""
