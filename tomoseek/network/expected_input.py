"""What an encoder expects of the values it is given, and tells those who feed it without this package."""

CLIP = 8.0  # robust standard deviations

NORMALISATION = {
    "zero": "median of the tomogram",
    "one": "half the distance of its 16th and 84th percentile",
    "clipped_at": CLIP,
    "protein": "positive",
}
