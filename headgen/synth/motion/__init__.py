"""How heads move: statistics of people, and motion that has them."""
