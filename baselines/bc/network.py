"""The clone's network: an encoder for each modality, and a decoder that makes a chunk of targets; normalisation inside.

The hourglass and the `paper` preset's sizes are those of the authors' release; docs/cloning.md says where it differs
from the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.bc.design import BLOCK, Design
from baselines.networks import mlp

CLIP = 3.0
"""Largest normalised observation; half of the range of training is 1."""


class CloneNetwork(nn.Module):
    """Predicts a chunk of targets from windows of observations.

    Args:
        design: how it is built.
        sizes: numbers of a step, by modality.
        actions: joints of hand and arm, J + 6.
    """

    action_center: Tensor
    """(H, J + 6) centre of the targets in training (rad)."""
    action_scale: Tensor
    """(H, J + 6) their spread (rad); zero for what never moved."""

    def __init__(self, design: Design, sizes: Mapping[str, int], actions: int) -> None:
        super().__init__()
        self.design, self.modalities = design, tuple(sizes)
        shape = (design.horizon, actions)
        self.register_buffer("action_center", torch.zeros(shape))
        self.register_buffer("action_scale", torch.ones(shape))
        encoders: dict[str, nn.Module] = {}
        features = 0
        for name, size in sizes.items():
            steps = design.steps_seen(name) + design.blocks_seen(name)
            self.register_buffer(f"{name}_center", torch.zeros(size))
            self.register_buffer(f"{name}_factor", torch.ones(size))
            encoders[name] = mlp([size if design.shared_encoder else steps * size, *design.encoder], nn.ReLU)
            features += design.encoder[-1] * (steps if design.shared_encoder else 1)
        self.encoders = nn.ModuleDict(encoders)
        self.decoder: nn.Module
        if design.decoder == "mlp":
            layers = mlp([features, *design.widths], nn.ReLU, norm=True)
            last = nn.Linear(design.widths[-1], design.horizon * actions)
            self.decoder = nn.Sequential(layers, last, nn.Unflatten(-1, shape))
        else:
            self.decoder = Hourglass(features, design.channels or features, design.widths, *shape)

    def forward(self, windows: Mapping[str, Tensor]) -> Tensor:
        """Return normalised targets (batch, H, J + 6).

        Args:
            windows: by modality (batch, steps that the design needs, numbers), the oldest step first.
        """
        encoded = []
        for name in self.modalities:
            center, factor = getattr(self, f"{name}_center"), getattr(self, f"{name}_factor")
            seen = windows[name][:, -self.design.steps_seen(name) :]
            if count := self.design.blocks_seen(name):
                blocks = windows[name][:, -BLOCK * count :].unflatten(1, (count, BLOCK)).mean(2)
                seen = torch.cat([blocks, seen], 1)
            seen = ((seen - center) * factor).clamp(-CLIP, CLIP)
            seen = seen if self.design.shared_encoder else seen.flatten(1)
            encoded.append(self.encoders[name](seen).flatten(1))
        return self.decoder(torch.cat(encoded, -1))

    def targets(self, windows: Mapping[str, Tensor]) -> Tensor:
        """Return targets, or increments (batch, H, J + 6) (rad)."""
        return self(windows) * self.action_scale + self.action_center

    def square_error(self, windows: Mapping[str, Tensor], wanted: Tensor) -> Tensor:
        """Return the mean square error of normalised targets (batch, H), over the joints that moved in training.

        Args:
            windows: as of `forward`.
            wanted: (batch, H, J + 6) targets, or increments (rad).
        """
        moves = self.action_scale > 0
        error = self(windows) - (wanted - self.action_center) / torch.where(moves, self.action_scale, 1.0)
        return (error**2 * moves).sum(-1) / moves.sum(-1).clamp(min=1)


class Hourglass(nn.Module):
    """A one-dimensional U-Net over the slots of a chunk.

    Args:
        features: numbers that it gets.
        channels: that each slot begins with.
        widths: channels of the levels; each but the first has half the slots of the one before.
        slots: length of the chunk.
        outputs: numbers of each slot.
    """

    def __init__(self, features: int, channels: int, widths: Sequence[int], slots: int, outputs: int) -> None:
        super().__init__()
        self.spread = nn.Sequential(nn.Linear(features, channels * slots), nn.Unflatten(-1, (channels, slots)))
        self.down = nn.ModuleList(
            nn.Sequential(_Residual(before, width), _Residual(width, width))
            for before, width in pairwise((channels, *widths))
        )
        self.shrink = nn.ModuleList(nn.Conv1d(width, width, 3, stride=2, padding=1) for width in widths[:-1])
        self.middle = nn.Sequential(*(_Residual(widths[-1], widths[-1]) for _ in range(2)))
        self.up = nn.ModuleList(
            nn.Sequential(_Residual(2 * width, above), _Residual(above, above)) for above, width in pairwise(widths)
        )
        self.grow = nn.ModuleList(nn.ConvTranspose1d(width, width, 4, stride=2, padding=1) for width in widths[:-1])
        self.last = nn.Linear(widths[0], outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, slots, outputs) for features (batch, numbers)."""
        x = self.spread(features)
        skips = []
        for level, blocks in enumerate(self.down):
            x = blocks(x)
            skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self.middle(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([x, skips[level + 1]], 1))
            x = self.grow[level](x)
        return self.last(x.transpose(1, 2))


class _Residual(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()

        def block(channels: int) -> list[nn.Module]:
            return [nn.Conv1d(channels, after, 5, padding=2), nn.GroupNorm(8, after), nn.Mish()]

        self.blocks = nn.Sequential(*block(before), *block(after))
        self.skip = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x) + self.skip(x)
