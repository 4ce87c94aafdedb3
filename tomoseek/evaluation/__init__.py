"""How good are picks? Scores, rankings, intervals, confusion, reliability, tables and figures, for any picks."""
