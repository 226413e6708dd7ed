"""The parts of the report, each a heading with what stands below it."""
