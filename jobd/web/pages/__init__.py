"""One file for each page: what it asks for, and what its template is given."""
