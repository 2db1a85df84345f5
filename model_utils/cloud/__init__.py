"""Object stores, archives, and copies of folders."""
