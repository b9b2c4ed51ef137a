"""What an image, its tags, its saliency and its mask are."""
