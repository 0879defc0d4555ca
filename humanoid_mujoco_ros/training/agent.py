# SPDX-License-Identifier: Apache-2.0
"""Actor and critic: tanh networks that are left-right symmetric by construction."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from humanoid_mujoco_ros.training.mirror import Mirror
from humanoid_mujoco_ros.training.options import HUMANOID_ACTION_LIMIT, TrainOptions


class SymmetricLinear(nn.Linear):
    """A linear layer with f(mirror_in(x)) = mirror_out(f(x)).

    It starts so, and `symmetrise_gradient` before each step of the optimiser keeps it so.
    """

    def __init__(self, mirror_in: Mirror, mirror_out: Mirror, gain: float) -> None:
        super().__init__(mirror_in.index.size, mirror_out.index.size)
        self.is_plain = _is_identity(mirror_in) and _is_identity(mirror_out)
        self._index_in, self._index_out = (
            torch.from_numpy(m.index) for m in (mirror_in, mirror_out)
        )
        sign_in, self._sign_out = (
            torch.from_numpy(m.sign).float() for m in (mirror_in, mirror_out)
        )
        self._sign = self._sign_out[:, None] * sign_in
        with torch.no_grad():
            nn.init.orthogonal_(self.weight, gain)
            self.bias.zero_()
            norm = self.weight.norm()
            self.symmetrise()
            self.weight.mul_(norm / self.weight.norm())

    @torch.no_grad()
    def symmetrise(self) -> None:
        """Replaces the weights by their mean with their mirror image."""
        if not self.is_plain:
            self._symmetrise(self.weight, self.bias)

    @torch.no_grad()
    def symmetrise_gradient(self) -> None:
        """The same for their gradients."""
        if not self.is_plain and self.weight.grad is not None and self.bias.grad is not None:
            self._symmetrise(self.weight.grad, self.bias.grad)

    def _symmetrise(self, weight: Tensor, bias: Tensor) -> None:
        image = weight.index_select(0, self._index_out).index_select(1, self._index_in)
        weight.add_(image.mul_(self._sign)).mul_(0.5)
        bias.add_(self._sign_out * bias[self._index_out]).mul_(0.5)


class TanhLayers(nn.Module):
    """tanh layers; the last one stays in float32."""

    def __init__(
        self,
        mirror_in: Mirror,
        hidden: tuple[int, ...],
        mirror_out: Mirror,
        gain: float,
        *,
        symmetric: bool,
    ) -> None:
        super().__init__()
        mirrors = [mirror_in]
        mirrors += [Mirror.swap(n) if symmetric else Mirror.identity(n) for n in hidden]
        gains = [2**0.5] * len(hidden) + [gain]
        self.layers = nn.ModuleList(
            SymmetricLinear(a, b, g)
            for a, b, g in zip(mirrors, [*mirrors[1:], mirror_out], gains, strict=True)
        )

    def linear(self) -> list[SymmetricLinear]:
        """The layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, SymmetricLinear)]

    def forward(self, x: Tensor, *, bfloat16: bool = False) -> Tensor:
        """(B, inputs) to (B, outputs)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for layer in self.layers[:-1]:
                x = torch.tanh(layer(x))
        result: Tensor = self.layers[-1](x.float())
        return result


class Agent(nn.Module):
    """Actor and critic on the normalised observation's columns that vary."""

    def __init__(
        self,
        seen: Mirror,
        privileged: Mirror,
        action: Mirror,
        options: TrainOptions,
        *,
        symmetric: bool,
    ) -> None:
        """Makes fresh networks.

        Args:
            seen: How the columns look in a mirror.
            privileged: How the critic's own input looks in a mirror.
            action: How the actions look in a mirror.
            options: Widths, deviation at the start, precision.
            symmetric: Hidden units come in mirror pairs.
        """
        super().__init__()
        self._bfloat16 = options.bfloat16
        self.actor = TanhLayers(seen, options.hidden, action, 0.01, symmetric=symmetric)
        self.critic = TanhLayers(
            Mirror.join(seen, privileged),
            options.hidden,
            Mirror.identity(1),
            1.0,
            symmetric=symmetric,
        )
        log_std = float(np.log(options.initial_std / HUMANOID_ACTION_LIMIT))
        self.raw_log_std = nn.Parameter(torch.full((action.index.size,), log_std))
        self._action_index = torch.from_numpy(action.index)

    def layers(self) -> list[SymmetricLinear]:
        """The layers of actor and critic."""
        return [*self.actor.linear(), *self.critic.linear()]

    def log_std(self) -> Tensor:
        """(actions,) of the network's output, left as right."""
        return 0.5 * (self.raw_log_std + self.raw_log_std[self._action_index])

    def mean(self, seen: Tensor) -> Tensor:
        """(B, actions) mean of the network's output, in units of the action limits."""
        result: Tensor = self.actor(seen, bfloat16=self._bfloat16)
        return result

    def value(self, seen: Tensor, privileged: Tensor) -> Tensor:
        """(B,) normalised return."""
        result: Tensor = self.critic(
            torch.cat((seen, privileged), -1), bfloat16=self._bfloat16
        ).squeeze(-1)
        return result

    def log_probability(self, mean: Tensor, output: Tensor) -> Tensor:
        """(B,) up to a constant."""
        log_std = self.log_std()
        return (-0.5 * ((output - mean) * torch.exp(-log_std)).square() - log_std).sum(-1)


def _is_identity(mirror: Mirror) -> bool:
    return bool(np.all(mirror.index == np.arange(mirror.index.size)) and np.all(mirror.sign == 1))
