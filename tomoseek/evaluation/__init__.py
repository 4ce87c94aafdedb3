"""How good are picks? Scores, intervals, confusion, reliability, tables and figures, for any picks."""
