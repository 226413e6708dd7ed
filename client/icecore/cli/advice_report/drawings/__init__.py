"""The report's plots, as SVG inside the page. They hold figures and our own words, no names."""
