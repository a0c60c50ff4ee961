"""Reference numbers in float32 from the saved F16 checkpoint.  Usage: reference.py HF_DIR OUT.json

A plain implementation of PhiForCausalLM, independent of the training code and of any inference library: every step is
written out below.  The prompts are in reference_prompts.json.
"""

import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
import torch

from bpe import END_OF_TEXT, Tokenizer

NEW_TOKENS = 48
TRACED = ("qa-capital", "chat")  # prompts with hidden norms and attention rows
NOTE = (
    "float32 from the saved F16 weights. positions are 0-based; logits at position p predict token p+1."
    " prompt_logprob_sum is the sum of log p(ids[i] | ids[:i]) for i >= 1. greedy stops after <|endoftext|> (kept as"
    " the last id) or 48 tokens; margins are top-1 minus top-2 logit at each greedy step. Hidden norms are L2 norms of"
    " the residual stream after each layer, before the final LayerNorm. Attention rows are after softmax, one row per"
    " head, over positions 0..last."
)


def load_tensors(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    tensors = {}
    for name in sorted(set(index["weight_map"].values())):
        data = (folder / name).read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        for key, entry in json.loads(data[8:start]).items():
            if key != "__metadata__":
                begin, end = entry["data_offsets"]
                half = np.frombuffer(data[start + begin : start + end], dtype="<f2").reshape(entry["shape"])
                tensors[key] = torch.from_numpy(half.astype(np.float32))
    return tensors


class Phi:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_tensors(folder)

    def norm(self, x, name):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        scaled = (x - mean) / torch.sqrt(variance + self.config["layer_norm_eps"])
        return scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def rope(self, x):
        """x: heads x positions x head size; rotates the first rotary features, rotate-half style."""
        features = int(self.config["partial_rotary_factor"] * x.shape[-1])
        powers = torch.arange(0, features, 2, dtype=torch.float32) / features
        inverse = 1.0 / (self.config["rope_theta"] ** powers)
        angle = torch.outer(torch.arange(x.shape[1], dtype=torch.float32), inverse)
        cos, sin = angle.cos(), angle.sin()
        a, b, rest = x[..., : features // 2], x[..., features // 2 : features], x[..., features:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)

    def attention(self, x, prefix):
        """The layer's attention output and its weights: heads x positions x positions."""
        count, heads = len(x), self.config["num_attention_heads"]
        size = self.config["hidden_size"] // heads
        q, k, v = (
            self.linear(x, f"{prefix}self_attn.{part}_proj").view(count, heads, size).transpose(0, 1) for part in "qkv"
        )
        mask = torch.full((count, count), -math.inf).triu(1)
        weights = torch.softmax(self.rope(q) @ self.rope(k).transpose(1, 2) / math.sqrt(size) + mask, -1)
        mixed = (weights @ v).transpose(0, 1).reshape(count, heads * size)
        return self.linear(mixed, prefix + "self_attn.dense"), weights

    def mlp(self, x, prefix):
        x = self.linear(x, prefix + "mlp.fc1")
        x = 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
        return self.linear(x, prefix + "mlp.fc2")

    def forward(self, ids, trace=None):
        """Hidden states after the final LayerNorm.  `trace` collects norms and attention rows of the last position."""
        x = self.weights["model.embed_tokens.weight"][torch.tensor(ids)]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            normed = self.norm(x, prefix + "input_layernorm")
            attention, weights = self.attention(normed, prefix)
            x = x + attention + self.mlp(normed, prefix)
            if trace is not None:
                trace["norms"].append(x[-1].norm().item())
                trace["attention"].append(weights[:, -1, :])
        return self.norm(x, "model.final_layernorm")

    def logits(self, hidden):
        return self.linear(hidden, "lm_head")


def top(logits, count=10):
    values, ids = torch.topk(logits, count)
    return [[int(id_), round(float(value), 5)] for id_, value in zip(ids, values)]


def at_position(logits, position):
    return dict(position=position, argmax=int(logits[position].argmax()), top10=top(logits[position]))


def greedy(model, tokenizer, ids):
    path, margins, ended = list(ids), [], False
    for _ in range(NEW_TOKENS):
        best = torch.topk(model.logits(model.forward(path)[-1]), 2)
        margins.append(float(best.values[0] - best.values[1]))
        path.append(int(best.indices[0]))
        if path[-1] == tokenizer.vocab[END_OF_TEXT]:
            ended = True
            break
    new = path[len(ids) :]
    return dict(
        ids=new,
        text=tokenizer.decode(new),
        ended_by_endoftext=ended,
        smallest_margin=round(min(margins), 5),
        margins=[round(margin, 4) for margin in margins],
    )


def measure(model, tokenizer, name, prompt):
    ids = tokenizer.encode(prompt)
    if tokenizer.decode(ids) != prompt:
        raise ValueError(f"the tokenizer does not give {name} back")
    trace = dict(norms=[], attention=[]) if name in TRACED else None
    logits = model.logits(model.forward(ids, trace))
    logprobs = torch.log_softmax(logits, -1)
    last = len(ids) - 1
    result = dict(
        name=name,
        prompt=prompt,
        ids=ids,
        last=at_position(logits, last),
        positions=[at_position(logits, spot) for spot in sorted({round(j * (last - 1) / 4) for j in range(5)})],
        prompt_logprob_sum=round(sum(logprobs[at, ids[at + 1]].item() for at in range(last)), 5),
        prompt_logprob_count=last,
        greedy=greedy(model, tokenizer, ids),
    )
    if trace:
        rows = trace["attention"]
        result["hidden_norm_after_layer_last_position"] = [round(norm, 5) for norm in trace["norms"]]
        result["attention_last_position"] = {
            f"layer_{layer}": [[round(float(weight), 7) for weight in head] for head in rows[layer]]
            for layer in (0, len(rows) - 1)
        }
    return result


@torch.no_grad()
def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(2)
    tokenizer, model = Tokenizer(folder), Phi(folder)
    prompts = json.loads(Path(__file__).with_name("reference_prompts.json").read_text())
    results = []
    for prompt in prompts:
        results.append(measure(model, tokenizer, **prompt))
        print(f"{prompt['name']}: {results[-1]['greedy']['text']!r}", flush=True)
    text = json.dumps(dict(model="phi-2-tiny", note=NOTE, prompts=results), indent=1)
    out.write_text(text + "\n")


if __name__ == "__main__":
    main()
