"""Two components that run in the browser: a layered viewer of one image and a gallery of thumbnails."""
