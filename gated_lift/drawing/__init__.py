"""Scenes, pictures, charts and the 3D player."""
