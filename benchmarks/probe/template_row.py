"""The control that knows the answer: template matching with the true map of every class."""
