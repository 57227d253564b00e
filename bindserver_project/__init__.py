"""The standalone server: settings from the environment alone, and a demo shop."""
