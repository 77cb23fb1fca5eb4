"""Training of state- and weight-quantized spiking networks (needs the `train` extra)."""
