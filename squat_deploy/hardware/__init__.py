"""The hardware plan of a core, whatever language prints it."""
