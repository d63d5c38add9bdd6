"""What the recipes of training hold, as frozen dataclasses; and the algebra of parallel layouts."""
