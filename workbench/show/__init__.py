"""Show: maps, pages, widgets and exports of a language."""
