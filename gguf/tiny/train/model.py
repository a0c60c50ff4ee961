"""The Phi-2 architecture at a small size, over a compact training vocabulary."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = dict(hidden=320, heads=4, layers=5, inter=1280, rotary=32, theta=10000.0, eps=1e-5)
LONGEST = 2048


def rotary_tables(length, features, theta):
    inverse = 1.0 / (theta ** (torch.arange(0, features, 2).float() / features))
    angle = torch.outer(torch.arange(length).float(), inverse)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def apply_rotary(x, cos, sin, features):
    """Rotate-half rotary embedding on the first `features` features of each head."""
    rotated, rest = x[..., :features], x[..., features:]
    half = features // 2
    turned = torch.cat([-rotated[..., half:], rotated[..., :half]], dim=-1)
    return torch.cat([rotated * cos + turned * sin, rest], dim=-1)


class Block(nn.Module):
    """One LayerNorm feeds attention and MLP, and both add to the residual stream."""

    def __init__(self, config):
        super().__init__()
        hidden = config["hidden"]
        self.heads, self.rotary = config["heads"], config["rotary"]
        self.input_layernorm = nn.LayerNorm(hidden, eps=config["eps"])
        self.q_proj, self.k_proj = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.v_proj, self.dense = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.fc1, self.fc2 = nn.Linear(hidden, config["inter"]), nn.Linear(config["inter"], hidden)

    def forward(self, x, cos, sin):
        normed = self.input_layernorm(x)
        return x + self.attention(normed, cos, sin) + self.fc2(F.gelu(self.fc1(normed), approximate="tanh"))

    def attention(self, x, cos, sin):
        batch, length, hidden = x.shape
        shape = (batch, length, self.heads, hidden // self.heads)
        q, k, v = (project(x).view(shape).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj))
        q = apply_rotary(q, cos, sin, self.rotary)
        k = apply_rotary(k, cos, sin, self.rotary)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.dense(mixed.transpose(1, 2).reshape(batch, length, hidden))


class TinyPhi(nn.Module):
    def __init__(self, vocabulary, config=CONFIG):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, config["hidden"])
        self.layers = nn.ModuleList(Block(config) for _ in range(config["layers"]))
        self.final_layernorm = nn.LayerNorm(config["hidden"], eps=config["eps"])
        self.lm_head = nn.Linear(config["hidden"], vocabulary)
        cos, sin = rotary_tables(LONGEST, config["rotary"], config["theta"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.initialize(config["layers"])

    def initialize(self, layers, spread=0.02):
        """Like GPT-2: the projections into the residual stream start smaller, biases at zero."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "layernorm" not in name:
                into_residual = "dense" in name or "fc2" in name
                nn.init.normal_(parameter, std=spread / (2 * layers) ** 0.5 if into_residual else spread)

    def forward(self, ids, keep=None):
        """The final hidden states.  Where `keep` is 0 the input is an all-zero row, which is what an id outside the
        compact vocabulary looks like."""
        x = self.embed(ids)
        if keep is not None:
            x = x * keep[..., None]
        length = ids.shape[1]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.final_layernorm(x)
