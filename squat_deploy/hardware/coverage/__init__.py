"""What golden sequences reach of a network: weights, thresholds, neurons."""
