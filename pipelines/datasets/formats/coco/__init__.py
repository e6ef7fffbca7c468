"""COCO: JSON files beside folders of pictures."""
