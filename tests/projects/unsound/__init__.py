"""A project whose bindings are declared wrongly, one for each system check, beside a good one."""
