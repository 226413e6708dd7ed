"""The parts of AsyncClient. `_sync` holds their twins, with the documentation."""
