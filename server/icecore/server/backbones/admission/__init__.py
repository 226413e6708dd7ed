"""The door for files of others: a child process looks at them first, and turns them into house form."""
