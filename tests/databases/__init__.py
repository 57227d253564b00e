"""What needs PostgreSQL or MariaDB, in this process."""
