"""Look, click, judge: the search in a browser."""
