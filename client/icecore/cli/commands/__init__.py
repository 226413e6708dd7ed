"""The commands, one noun a module; `icecore.cli.app` knows their names."""
