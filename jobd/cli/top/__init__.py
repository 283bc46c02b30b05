"""The full-screen view: what it looks at, how it is drawn, its screens. Needs the extra `tui`."""
