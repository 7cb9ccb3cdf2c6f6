"""What headgen measures of itself: speed and quality."""
