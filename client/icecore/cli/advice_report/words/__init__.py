"""Sentences made of an advice's figures. Plain text: escaping is the page's."""
