"""What is held about the repository itself: docs, Makefile, tests that keep apart."""
