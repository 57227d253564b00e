"""What people declare: bindings, their params and permissions, and which there are."""
