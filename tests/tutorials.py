"""Networks as the snnTorch tutorials build and loop over them, in float, at their sizes; written anew."""

from __future__ import annotations

import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import spikegen, surrogate, utils
from torch import Tensor, nn

GRAD = surrogate.fast_sigmoid(slope=25)


class Given(nn.Module):
    """Tutorials 2 to 4: spikes (T, B, 784) made before, one step of them at a time, states kept by the loop."""

    def __init__(self, hidden: int = 1000) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(784, hidden), snn.Leaky(beta=0.99)
        self.fc2, self.lif2 = nn.Linear(hidden, 10), snn.Leaky(beta=0.99)

    def forward(self, spk_in: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        mem2_rec, spk1_rec, spk2_rec = [], [], []
        for step in range(spk_in.size(0)):
            spk1, mem1 = self.lif1(self.fc1(spk_in[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            mem2_rec.append(mem2)
            spk1_rec.append(spk1)
            spk2_rec.append(spk2)
        return torch.stack(spk2_rec), torch.stack(mem2_rec)


class SecondOrder(nn.Module):
    """Tutorial 4: the same with a synaptic current of its own a neuron."""

    def __init__(self, hidden: int = 1000) -> None:
        super().__init__()
        self.fc1, self.syn1 = nn.Linear(784, hidden), snn.Synaptic(alpha=0.9, beta=0.8)
        self.fc2, self.syn2 = nn.Linear(hidden, 10), snn.Synaptic(alpha=0.9, beta=0.8)

    def forward(self, spk_in: Tensor) -> tuple[Tensor, Tensor]:
        (cur1, mem1), (cur2, mem2) = self.syn1.init_synaptic(), self.syn2.init_synaptic()
        spikes, membranes = [], []
        for step in range(spk_in.size(0)):
            spk1, cur1, mem1 = self.syn1(self.fc1(spk_in[step]), cur1, mem1)
            spk2, cur2, mem2 = self.syn2(self.fc2(spk1), cur2, mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class Shown(nn.Module):
    """Tutorial 5: one image (B, 784) shown at every one of 25 steps."""

    def __init__(self, steps: int = 25, hidden: int = 1000) -> None:
        super().__init__()
        self.steps = steps
        self.fc1, self.lif1 = nn.Linear(784, hidden), snn.Leaky(beta=0.95)
        self.fc2, self.lif2 = nn.Linear(hidden, 10), snn.Leaky(beta=0.95)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(self.steps):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def convolutional() -> nn.Sequential:
    """Tutorial 6: convolutions in a Sequential, states hidden in the neurons, called once a step by a loop outside."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True),
        nn.Conv2d(12, 64, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 10),
        snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True, output=True),
    )


class PassedForward(nn.Module):
    """Tutorial 6: the loop around such a network, as a forward."""

    def __init__(self, net: nn.Module, steps: int) -> None:
        super().__init__()
        self.net, self.steps = net, steps

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        mem_rec, spk_rec = [], []
        utils.reset(self.net)
        for _ in range(self.steps):
            spk_out, mem_out = self.net(data)
            spk_rec.append(spk_out)
            mem_rec.append(mem_out)
        return torch.stack(spk_rec), torch.stack(mem_rec)


class OneStep(nn.Module):
    """Tutorial 6, its other form: pools as functions, states made anew in a forward of one step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(1, 12, 5), snn.Leaky(beta=0.5, spike_grad=GRAD)
        self.conv2, self.lif2 = nn.Conv2d(12, 64, 5), snn.Leaky(beta=0.5, spike_grad=GRAD)
        self.fc1, self.lif3 = nn.Linear(64 * 4 * 4, 10), snn.Leaky(beta=0.5, spike_grad=GRAD)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        spk1, mem1 = self.lif1(F.max_pool2d(self.conv1(x), 2), mem1)
        spk2, mem2 = self.lif2(F.max_pool2d(self.conv2(spk1), 2), mem2)
        spk3, mem3 = self.lif3(self.fc1(spk2.view(x.size(0), -1)), mem3)
        return spk3, mem3


def of_events() -> nn.Sequential:
    """Tutorial 7: frames of an event camera (T, B, 2, 34, 34), one a call."""
    return nn.Sequential(
        nn.Conv2d(2, 12, 5),
        snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 32, 5),
        snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 5 * 5, 10),
        snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True, output=True),
    )


class OverEvents(nn.Module):
    """Tutorial 7: the loop over the frames."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, data: Tensor) -> Tensor:
        spk_rec = []
        utils.reset(self.net)
        for step in range(data.size(0)):
            spk_out, _ = self.net(data[step])
            spk_rec.append(spk_out)
        return torch.stack(spk_rec)


class FollowedMembrane(nn.Module):
    """Regression 1: a membrane that follows a curve; as published, the readout's neuron serves two layers."""

    def __init__(self, steps: int = 50, hidden: int = 128, *, published: bool = True) -> None:
        super().__init__()
        self.steps, self.published = steps, published
        self.fc_in = nn.Linear(1, hidden)
        self.lif_in = snn.Leaky(torch.rand(hidden), torch.rand(hidden), learn_beta=True, spike_grad=GRAD)
        self.fc_hidden = nn.Linear(hidden, hidden)
        self.lif_hidden = snn.Leaky(torch.rand(hidden), torch.rand(hidden), learn_beta=True, spike_grad=GRAD)
        self.fc_out = nn.Linear(hidden, 1)
        self.li_out = snn.Leaky(torch.rand(1), 1.0, learn_beta=True, spike_grad=GRAD, reset_mechanism="none")

    def forward(self, x: Tensor) -> Tensor:
        mem_1, mem_2, mem_3 = self.lif_in.init_leaky(), self.lif_hidden.init_leaky(), self.li_out.init_leaky()
        mem_3_rec = []
        for step in range(self.steps):
            spk_in, mem_1 = self.lif_in(self.fc_in(x[step, :, :]), mem_1)
            hidden = self.li_out if self.published else self.lif_hidden
            spk_hidden, mem_2 = hidden(self.fc_hidden(spk_in), mem_2)
            _, mem_3 = self.li_out(self.fc_out(spk_hidden), mem_3)
            mem_3_rec.append(mem_3)
        return torch.stack(mem_3_rec)


class Recurrent(nn.Module):
    """Regression 2: classes by neurons that feed their spikes back."""

    def __init__(self, steps: int = 10, hidden: int = 128) -> None:
        super().__init__()
        self.steps = steps
        self.fc1, self.rlif1 = nn.Linear(784, hidden), snn.RLeaky(beta=0.9, linear_features=hidden)
        self.fc2, self.rlif2 = nn.Linear(hidden, 10), snn.RLeaky(beta=0.9, linear_features=10)

    def forward(self, x: Tensor) -> Tensor:
        spk1, mem1 = self.rlif1.init_rleaky()
        spk2, mem2 = self.rlif2.init_rleaky()
        recorded = []
        for _ in range(self.steps):
            spk1, mem1 = self.rlif1(self.fc1(x), spk1, mem1)
            spk2, mem2 = self.rlif2(self.fc2(spk1), spk2, mem2)
            recorded.append(spk2)
        return torch.stack(recorded)


def population(outputs: int = 500) -> nn.Sequential:
    """Population coding: many output neurons a class, one step."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 128),
        snn.Leaky(beta=0.9, spike_grad=GRAD, init_hidden=True),
        nn.Linear(128, outputs),
        snn.Leaky(beta=0.9, spike_grad=GRAD, init_hidden=True, output=True),
    )


class Autoencoder(nn.Module):
    """The spiking autoencoder: all steps are encoded, then all are decoded, and the last membrane is the image."""

    def __init__(self, steps: int = 5, latent: int = 32, width: int = 32) -> None:
        super().__init__()
        self.steps = steps

        def lif(threshold: float = 1, **options: bool) -> snn.Leaky:
            return snn.Leaky(beta=0.5, spike_grad=GRAD, init_hidden=True, threshold=threshold, **options)

        def down(a: int, b: int) -> nn.Conv2d:
            return nn.Conv2d(a, b, 3, padding=1, stride=2)

        def up(a: int, b: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(a, b, 3, padding=1, stride=(2, 2), output_padding=1)

        w = width
        layers = [down(1, w), nn.BatchNorm2d(w), lif(), down(w, 2 * w), nn.BatchNorm2d(2 * w), lif()]
        layers += [down(2 * w, 4 * w), nn.BatchNorm2d(4 * w), lif(), nn.Flatten(start_dim=1, end_dim=3)]
        self.encoder = nn.Sequential(*layers, nn.Linear(4 * w * 16, latent), lif(output=True))
        self.linear_net = nn.Sequential(nn.Linear(latent, 4 * w * 16), lif(output=True))
        layers = [nn.Unflatten(1, (4 * w, 4, 4)), lif(), up(4 * w, 2 * w), nn.BatchNorm2d(2 * w), lif()]
        layers += [up(2 * w, w), nn.BatchNorm2d(w), lif(), up(w, 1), lif(20000, output=True)]
        self.decoder = nn.Sequential(*layers)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spk_latent, mem_latent = self.encoder(x)
        return spk_latent, mem_latent

    def decode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spk, _ = self.linear_net(x)
        spk2, mem2 = self.decoder(spk)
        return spk2, mem2

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self.encoder)
        utils.reset(self.decoder)
        utils.reset(self.linear_net)
        spk_mem, spk_rec = [], []
        for _ in range(self.steps):
            spk_x, mem_x = self.encode(x)
            spk_rec.append(spk_x)
            spk_mem.append(mem_x)
        encoded = torch.stack(spk_rec, dim=2)
        spk_mem2, spk_rec2 = [], []
        for step in range(self.steps):
            x_recon, x_mem_recon = self.decode(encoded[..., step])
            spk_rec2.append(x_recon)
            spk_mem2.append(x_mem_recon)
        decoded = torch.stack(spk_mem2, dim=4)
        return decoded[:, :, :, :, -1]


def rates(steps: int, batch: int, *shape: int) -> Tensor:
    """Spikes (T, B, *shape) of random intensities, as tutorial 1 makes them."""
    return spikegen.rate(0.4 * torch.rand(batch, *shape), num_steps=steps)
