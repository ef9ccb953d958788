"""How all is at this moment, in one sentence and in figures: pure functions of a snapshot."""
