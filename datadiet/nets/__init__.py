"""Networks: encoders of text with a fresh head, small nets for images, and what makes them cheaper on a processor."""
