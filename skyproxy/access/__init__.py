"""Who may ask, and how much: clients, their keys, and what these open."""
