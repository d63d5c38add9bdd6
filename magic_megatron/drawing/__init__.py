"""What the pages about runs share: plots as inline SVG, the sheet of styles, names of run folders."""
