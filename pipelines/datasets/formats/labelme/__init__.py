"""labelme: one JSON file an image."""
