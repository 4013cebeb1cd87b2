"""Pages: what was learned as HTML: `report`, one page, and `site`, a folder with a page for each code."""
