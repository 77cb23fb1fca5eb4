"""Trains the model, and saves its weights and its test images. Put your own data in place of `images`."""

import numpy as np

try:
    import torch
    from model import factory
    from snntorch import utils
except ModuleNotFoundError as error:
    raise SystemExit(f"training needs the package {error.name}: pip install 'squat_deploy[train]'") from None

from squat_deploy.lab import bundled
from squat_deploy.snn.checkpoint import save_model

STEPS, EPOCHS, BATCH, TRAINING = 10, 10, 32, 192


def counts(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(B, classes) output spikes of images that are shown at every step, from rest."""
    utils.reset(model)
    return sum(model(images) for _ in range(STEPS))


def main() -> None:
    torch.manual_seed(0)
    images, labels = map(torch.from_numpy, bundled.images())  # (256, 784) in 0..1, (256,): enough to see the whole way
    model = factory()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(TRAINING).split(BATCH):
            loss = torch.nn.functional.cross_entropy(counts(model, images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
    model.eval()
    with torch.no_grad():
        right = counts(model, images[TRAINING:]).argmax(1) == labels[TRAINING:]
    print(f"accuracy on {len(right)} images that were not trained on: {right.float().mean():.1%}")
    save_model(model, "weights.safetensors")
    np.save("images.npy", images[TRAINING:].numpy())
    np.save("labels.npy", labels[TRAINING:].numpy())


if __name__ == "__main__":
    main()
