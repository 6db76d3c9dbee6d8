"""How lifters are trained: configurations, what a step draws, losses, and the loop."""
