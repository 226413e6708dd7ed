"""The same network behind other people's servers; run.py is the program."""
