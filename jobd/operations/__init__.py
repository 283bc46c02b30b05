"""Every operation a person can ask for, declared once (table.py), and what those on Redis do."""
