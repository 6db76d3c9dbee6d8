"""Lifters: the paper's network, its rivals, their checkpoints and the weights that ship."""
