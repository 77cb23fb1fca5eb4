"""Golden sequences chosen for what they reach."""
