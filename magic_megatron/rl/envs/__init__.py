"""Text environments, one file each, and the pool of processes that they run in."""
