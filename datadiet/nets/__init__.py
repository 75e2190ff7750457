"""Networks: encoders of text with a fresh head, small nets for images, and cheaper dropout and last layers."""
