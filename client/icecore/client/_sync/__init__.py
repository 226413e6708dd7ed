"""The parts of Client. `_async` holds their twins."""
