"""From posed surfaces to pictures with exact ground truth."""
