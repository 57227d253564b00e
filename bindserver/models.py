"""No models: that there is such a module has Django tell of the end of each `migrate`."""
