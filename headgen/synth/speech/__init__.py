"""Speech with phoneme timing, and the mouth that goes with it."""
