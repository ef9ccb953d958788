"""How much may be spent, by whom and in what time."""
