"""What the command line itself finds wrong."""


class Mistake(Exception):
    """The caller's: one sentence, exit status 2."""


class Interrupted(Exception):
    """Ctrl-C where there is more to say than that."""
