"""Files of others that become torch models: QONNX of Brevitas, and NIR."""
