"""Who speaks, who listens, and why they do what they do."""
