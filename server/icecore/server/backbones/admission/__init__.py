"""The door for files of others: a child process looks at them and makes house form of them."""
