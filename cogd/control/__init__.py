"""The control socket of the running daemon: its wire, a client and the server."""
