"""What any learned feature has to beat."""
