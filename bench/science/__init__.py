"""Published numbers, repeated: programs that read the cores which `cores.py` makes."""
