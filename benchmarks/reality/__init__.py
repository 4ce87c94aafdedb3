"""How well does an encoder do on real tomograms?"""
