"""A reload: plan (pure), trial, apply."""
