"""How lifters are judged: what they are shown, what they are asked, and what their errors add up to."""
