"""A file of others into house form."""
