"""Long videos in segments: what is made when, with which seed, in how much memory."""
