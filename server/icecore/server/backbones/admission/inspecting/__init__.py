"""The child process: looks, brings home, loads and runs, and answers."""
