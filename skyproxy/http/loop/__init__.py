"""How the event loop reads and writes many sockets fairly and in batches."""
