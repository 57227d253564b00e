"""The soak: clients, writes and kills for a while, after which everything is as it was."""
