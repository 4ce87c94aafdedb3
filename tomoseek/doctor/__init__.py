"""What one runs first: is this machine fit, and are these tomograms and picks what they are taken for?"""
