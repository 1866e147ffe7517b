"""From a recipe to a trained, measured and recorded model."""
