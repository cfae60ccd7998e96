"""What students really took over from their teachers."""
