"""Files of codes: made bit by bit, in any order, and written whole at the end."""
