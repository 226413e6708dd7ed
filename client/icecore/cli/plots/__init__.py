"""Pictures that commands draw: colours, axes, and what is on them."""
