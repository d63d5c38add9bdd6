"""Hydra recipes, and the one way in which every command of the project is started."""
