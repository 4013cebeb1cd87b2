"""Search: everything that finds a prompt for a goal."""
