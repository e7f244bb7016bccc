"""The text encoder: token ids to one vector per token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron, on [batch, sequence, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        head_width = hidden.shape[-1] // self.heads
        query, key, value = (
            part.unflatten(-1, (self.heads, head_width)).transpose(1, 2)
            for part in self.to_qkv(self.norm1(hidden)).chunk(3, -1)
        )
        weights = ((query * head_width**-0.5) @ key.transpose(-1, -2)).softmax(-1)
        hidden = hidden + self.to_out((weights @ value).transpose(1, 2).flatten(2))
        return hidden + self.linear2(F.gelu(self.linear1(self.norm2(hidden))))


class TextEncoder(nn.Module):
    """Token ids [batch, sequence] (int64) to hidden states [batch, sequence, width]."""

    def __init__(self, vocab_size: int, width: int = 128, layers: int = 2, heads: int = 4, max_length: int = 48) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Parameter(torch.randn(max_length, width) * 0.02)
        self.layers = nn.ModuleList([TransformerLayer(width, heads) for _ in range(layers)])
        self.final_layer_norm = nn.LayerNorm(width)
        nn.init.normal_(self.token_embedding.weight, 0.0, 0.3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.token_embedding(input_ids) + self.position_embedding[: input_ids.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden)
        return self.final_layer_norm(hidden)
