"""The first look at a file of others, before anything is done with it."""
