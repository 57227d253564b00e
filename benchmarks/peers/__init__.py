"""What bindserver is compared with: servers that bring one message to very many clients."""
