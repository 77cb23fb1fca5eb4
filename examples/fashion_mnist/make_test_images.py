"""Writes test_images.safetensors: the first 256 images of the Fashion-MNIST test set (MIT licence) and their labels."""

from pathlib import Path

from safetensors.numpy import save_file

from squat_deploy.lab.datasets import fashion_mnist

if __name__ == "__main__":
    test = fashion_mnist("test")
    save_file(
        {"pixels": test.pixels[:256].copy(), "labels": test.labels[:256].astype("uint8")},
        Path(__file__).parent / "test_images.safetensors",
    )
