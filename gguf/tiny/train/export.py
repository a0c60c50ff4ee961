"""Write the trained model as an HF-style Phi checkpoint.  Usage: export.py DATA_DIR TRAIN_OUT_DIR HF_DIR

Rows of the compact vocabulary are scattered into the full 51200-row matrices.  Ids that were never seen keep an
all-zero lm_head row with bias -30, so they are never generated; their embedding row is zero too, unless the same word
in another case or without its leading space was seen, whose row is then copied.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

from model import CONFIG

VOCABULARY = 51200
END_OF_TEXT = 50256
UNSEEN_BIAS = -30.0
FIRST_SHARD_BYTES = 42_000_000  # the split falls inside a layer, as in the real Phi-2
SHARD_NAMES = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def variant_rows(vocab, counts):
    """Unseen id -> id of the most frequent seen token that differs only in case or leading space."""
    words = {id_: token.removeprefix("\u0120").lower() for token, id_ in vocab.items()}
    best = {}
    for id_, word in words.items():
        if len(word) >= 3 and counts[id_] > 0 and (word not in best or counts[id_] > counts[best[word]]):
            best[word] = id_
    return {id_: best[word] for id_, word in words.items() if counts[id_] == 0 and word in best}


def full_matrices(state, compact, counts, vocab):
    """Embedding, lm_head and its bias over all 51200 rows."""
    embed = np.zeros((VOCABULARY, CONFIG["hidden"]), np.float32)
    head = np.zeros((VOCABULARY, CONFIG["hidden"]), np.float32)
    bias = np.full(VOCABULARY, UNSEEN_BIAS, np.float32)
    seen = [(row, id_) for row, id_ in enumerate(compact) if counts[id_] > 0]
    for row, id_ in seen:
        embed[id_], head[id_] = state["embed.weight"][row], state["lm_head.weight"][row]
        bias[id_] = state["lm_head.bias"][row]
    copies = variant_rows(vocab, counts)
    for id_, source in copies.items():
        embed[id_] = embed[source]
    print("seen rows", len(seen), "copied embedding rows", len(copies))
    return embed, head, bias


MODULES = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.dense",
    "mlp.fc1",
    "mlp.fc2",
    "input_layernorm",
]


def named_tensors(state, embed, head, bias):
    """(name, float16 array) in the order in which they are dealt out to the shards."""
    tensors = [("model.embed_tokens.weight", embed)]
    for layer in range(CONFIG["layers"]):
        for module in MODULES:
            for kind in ("weight", "bias"):
                trained = state[f"layers.{layer}.{module.rpartition('.')[2]}.{kind}"]
                tensors.append((f"model.layers.{layer}.{module}.{kind}", trained))
    for kind in ("weight", "bias"):
        tensors.append((f"model.final_layernorm.{kind}", state[f"final_layernorm.{kind}"]))
    tensors += [("lm_head.weight", head), ("lm_head.bias", bias)]
    return [(name, as_float16(name, value)) for name, value in tensors]


def as_float16(name, value):
    half = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(f"{name} does not fit into float16")
    return half


def split(tensors):
    """Two shards: the first takes tensors in order until one does not fit."""
    shards, room = [{}, {}], FIRST_SHARD_BYTES
    for name, value in tensors:
        fits = value.nbytes <= room and not shards[1]
        room -= value.nbytes
        shards[0 if fits else 1][name] = value
    return shards


def write_safetensors(path, tensors):
    """8-byte little-endian header length, JSON header, raw data; names in order."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, value in sorted(tensors.items()):
        header[name] = dict(dtype="F16", shape=list(value.shape), data_offsets=[offset, offset + value.nbytes])
        offset += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for _, value in sorted(tensors.items()):
            file.write(np.ascontiguousarray(value).tobytes())


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_configs(hf):
    config = dict(
        architectures=["PhiForCausalLM"],
        attention_dropout=0.0,
        bos_token_id=END_OF_TEXT,
        embd_pdrop=0.0,
        eos_token_id=END_OF_TEXT,
        hidden_act="gelu_new",
        hidden_size=CONFIG["hidden"],
        initializer_range=0.02,
        intermediate_size=CONFIG["inter"],
        layer_norm_eps=CONFIG["eps"],
        max_position_embeddings=2048,
        model_type="phi",
        num_attention_heads=CONFIG["heads"],
        num_hidden_layers=CONFIG["layers"],
        num_key_value_heads=CONFIG["heads"],
        partial_rotary_factor=0.4,
        qk_layernorm=False,
        resid_pdrop=0.0,
        rope_scaling=None,
        rope_theta=CONFIG["theta"],
        tie_word_embeddings=False,
        torch_dtype="float16",
        use_cache=True,
        vocab_size=VOCABULARY,
    )
    write_json(hf / "config.json", config)
    generation = dict(_from_model_config=True, bos_token_id=END_OF_TEXT, eos_token_id=END_OF_TEXT)
    write_json(hf / "generation_config.json", generation)


def main():
    data, trained, hf = map(Path, sys.argv[1:4])
    state = {name: value.float().numpy() for name, value in torch.load(trained / "model.pt").items()}
    compact = json.loads((data / "compact.json").read_text())
    vocab = json.loads((hf / "vocab.json").read_text(encoding="utf-8"))
    matrices = full_matrices(state, compact, np.load(data / "counts.npy"), vocab)
    shards = split(named_tensors(state, *matrices))

    weight_map, total = {}, 0
    for name, shard in zip(SHARD_NAMES, shards):
        write_safetensors(hf / name, shard)
        weight_map |= dict.fromkeys(shard, name)
        total += sum(value.nbytes for value in shard.values())
    index = dict(metadata=dict(total_size=total), weight_map=dict(sorted(weight_map.items())))
    write_json(hf / "model.safetensors.index.json", index)
    write_configs(hf)
    print("bytes of tensors", total)


if __name__ == "__main__":
    main()
