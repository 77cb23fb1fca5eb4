"""What runs a network: NumPy is the reference, every other is compared with it."""
