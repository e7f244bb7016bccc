"""The denoising network: noisy latents, a timestep and text to the v-prediction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def zero_initialised(module: nn.Module) -> nn.Module:
    """Set weight and bias to zero, so that the branch that ends in this module adds nothing at first."""
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    return module


class ConditionedBlock(nn.Module):
    """Residual block of two 3x3 convolutions whose second norm is scaled and shifted by time and text (FiLM)."""

    def __init__(self, in_channels: int, out_channels: int, condition_width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.condition = nn.Linear(condition_width, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.conv2 = zero_initialised(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        residual = self.conv1(F.silu(self.norm1(hidden)))
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
        residual = F.silu(self.norm2(residual) * (1 + scale) + shift)
        return self.shortcut(hidden) + self.conv2(residual)


class AttentionBlock(nn.Module):
    """Cross-attention from positions to text, after self-attention between positions where asked for."""

    def __init__(self, channels: int, text_width: int, self_attention: bool, head_width: int = 32) -> None:
        super().__init__()
        self.heads = channels // head_width
        self.norm = nn.GroupNorm(8, channels)
        self.to_qkv = nn.Linear(channels, 3 * channels) if self_attention else None
        self.to_self_out = zero_initialised(nn.Linear(channels, channels)) if self_attention else None
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(text_width, 2 * channels)
        self.to_out = zero_initialised(nn.Linear(channels, channels))

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Multi-head attention: [batch, positions, channels] against [batch, keys, channels]."""
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, value))
        weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2)

    def forward(self, hidden: Tensor, text: Tensor) -> Tensor:
        tokens = self.norm(hidden).flatten(2).transpose(1, 2)
        update = 0
        if self.to_qkv is not None:
            update = self.to_self_out(self.attend(*self.to_qkv(tokens).chunk(3, -1)))
            tokens = tokens + update
        update = update + self.to_out(self.attend(self.to_q(tokens), *self.to_kv(text).chunk(2, -1)))
        return hidden + update.transpose(1, 2).reshape(hidden.shape)


class TextPooling(nn.Module):
    """One vector per caption: attention-pooled tokens plus a gated sum of all tokens (a bag of words)."""

    def __init__(self, text_width: int, out_width: int, queries: int = 4) -> None:
        super().__init__()
        self.score = nn.Linear(text_width, queries)
        self.from_pooled = nn.Linear(queries * text_width, out_width)
        self.gate = nn.Linear(text_width, 1)
        self.from_word = nn.Linear(text_width, out_width)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, text: Tensor) -> Tensor:
        pooled = (self.score(text).softmax(1).transpose(1, 2) @ text).flatten(1)
        words = (torch.sigmoid(self.gate(text)) * self.from_word(text)).sum(1) * 0.2
        return self.from_pooled(pooled) + words


class UNet(nn.Module):
    """v-prediction of latents [batch, channels, h, w]; h and w are multiples of 4 (pictures: multiples of 32)."""

    def __init__(
        self,
        latent_channels: int = 8,
        block_out_channels: tuple[int, int, int] = (128, 160, 160),
        blocks_down: tuple[int, int, int] = (1, 1, 1),
        blocks_up: tuple[int, int, int] = (2, 2, 1),
        text_width: int = 128,
        condition_width: int = 256,
        time_cond_proj_dim: int | None = None,
    ) -> None:
        """With `time_cond_proj_dim` the network also takes an embedding of the guidance scale, as diffusers' LCMs do."""
        super().__init__()
        self.conv_in = nn.Conv2d(latent_channels, block_out_channels[0], 3, padding=1)
        self.time_linear1 = nn.Linear(128, condition_width)
        self.time_linear2 = nn.Linear(condition_width, condition_width)
        self.cond_proj = nn.Linear(time_cond_proj_dim, 128, bias=False) if time_cond_proj_dim else None
        self.text_pooling = TextPooling(text_width, condition_width)
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * torch.arange(64) / 64), persistent=False)

        last = len(block_out_channels) - 1
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width = block_out_channels[0]
        for level, channels in enumerate(block_out_channels):
            stage = nn.Module()
            stage.blocks = nn.ModuleList(
                ConditionedBlock(width if i == 0 else channels, channels, condition_width)
                for i in range(blocks_down[level])
            )
            stage.attention = AttentionBlock(channels, text_width, level == last) if level > 0 else None
            stage.resample = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if level < last else None
            self.down.append(stage)
            width = channels

        self.mid = ConditionedBlock(width, width, condition_width)

        for level in reversed(range(last + 1)):
            channels = block_out_channels[level]
            stage = nn.Module()
            stage.blocks = nn.ModuleList(
                ConditionedBlock(width + channels if i == 0 else channels, channels, condition_width)
                for i in range(blocks_up[level])
            )
            stage.attention = AttentionBlock(channels, text_width, level == last) if level > 0 else None
            width = block_out_channels[level - 1] if level > 0 else channels
            # A 1x1 convolution before the enlargement costs a quarter of one after it.
            stage.resample = nn.Conv2d(channels, width, 1) if level > 0 else None
            self.up.append(stage)

        self.norm_out = nn.GroupNorm(8, width)
        self.conv_out = zero_initialised(nn.Conv2d(width, latent_channels, 3, padding=1))

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, timestep_cond: Tensor | None = None
    ) -> Tensor:
        """sample [batch, C, h, w], timestep [batch] (0..999, may be fractional), text [batch, sequence, width],
        timestep_cond [batch, time_cond_proj_dim] where there is a cond_proj."""
        text = encoder_hidden_states
        angles = timestep.reshape(-1, 1) * self.frequencies[None]
        angles = torch.cat([angles.cos(), angles.sin()], -1)
        if self.cond_proj is not None:
            angles = angles + self.cond_proj(timestep_cond)
        time = self.time_linear1(angles)
        condition = F.silu(self.time_linear2(F.silu(time)) + self.text_pooling(text))

        hidden = self.conv_in(sample)
        skips = []
        for stage in self.down:
            for block in stage.blocks:
                hidden = block(hidden, condition)
            if stage.attention is not None:
                hidden = stage.attention(hidden, text)
            skips.append(hidden)
            if stage.resample is not None:
                hidden = stage.resample(hidden)
        hidden = self.mid(hidden, condition)
        for stage in self.up:
            hidden = torch.cat([hidden, skips.pop()], 1)
            for block in stage.blocks:
                hidden = block(hidden, condition)
            if stage.attention is not None:
                hidden = stage.attention(hidden, text)
            if stage.resample is not None:
                hidden = F.interpolate(stage.resample(hidden), scale_factor=2.0, mode="nearest")
        return self.conv_out(F.silu(self.norm_out(hidden)))
