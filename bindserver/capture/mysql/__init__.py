"""The change log on MariaDB and MySQL."""
