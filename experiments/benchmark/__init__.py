"""How fast the parts of the project are, beside what one would use otherwise."""
