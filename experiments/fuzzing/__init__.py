"""Every reader under damaged and invented files."""
