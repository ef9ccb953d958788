"""The files that ``skyproxy deploy`` prints. Each says in its head what to do with it and how far it was tried."""
