"""What `icecore demo` does: the images it draws, the steps, the pictures it leaves."""
