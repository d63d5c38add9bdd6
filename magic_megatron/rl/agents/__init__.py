"""verl's agent loops of this project, one file each."""
