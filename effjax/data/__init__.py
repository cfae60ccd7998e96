"""Examples: where they are stored, which a step draws, how they are read, and what people have answered about them."""
