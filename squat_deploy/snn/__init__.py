"""What torch means: levels, quantizers, neurons, and running, copying and quantizing a trained model."""
