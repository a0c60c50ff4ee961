"""Write the CodeGen/Phi-2 tokenizer files.  Usage: tokenizer_files.py GPT2_VOCAB_GGUF HF_DIR

The GPT-2 vocabulary and merges are read from llama.cpp's models/ggml-vocab-gpt-2.gguf with gguf-py.  Phi-2 adds runs of
31 down to 2 spaces (ids 50257 to 50286) and of 9 down to 2 tabs (50287 to 50294).
"""

import json
import sys
from pathlib import Path

from gguf import GGUFReader

END_OF_TEXT = "<|endoftext|>"
ADDED = {" " * (31 - k): 50257 + k for k in range(30)} | {"\t" * (9 - k): 50287 + k for k in range(8)}


def strings(reader, key):
    field = reader.fields[key]
    return [bytes(field.parts[at]).decode("utf-8") for at in field.data]


def added_token(content):
    special = content == END_OF_TEXT
    plain = dict(lstrip=False, rstrip=False, single_word=False)
    return dict(content=content, normalized=not special, special=special, **plain)


def tokenizer_config():
    tokens = {END_OF_TEXT: 50256} | ADDED
    return dict(
        add_bos_token=False,
        add_prefix_space=False,
        added_tokens_decoder={str(id_): dict(sorted(added_token(token).items())) for token, id_ in tokens.items()},
        bos_token=END_OF_TEXT,
        clean_up_tokenization_spaces=True,
        eos_token=END_OF_TEXT,
        errors="replace",
        model_max_length=2048,
        pad_token=None,
        return_token_type_ids=False,
        tokenizer_class="CodeGenTokenizer",
        unk_token=END_OF_TEXT,
    )


def fast_tokenizer(vocab, merges):
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    keys = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    tokens = {END_OF_TEXT: 50256} | ADDED
    added = [dict(id=id_, **{key: added_token(token)[key] for key in keys}) for token, id_ in tokens.items()]
    return dict(
        version="1.0",
        truncation=None,
        padding=None,
        added_tokens=added,
        normalizer=None,
        pre_tokenizer=byte_level,
        post_processor=byte_level | dict(trim_offsets=False),
        decoder=byte_level | dict(add_prefix_space=True),
        model=dict(
            type="BPE",
            dropout=None,
            unk_token=None,
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
            byte_fallback=False,
            vocab=vocab,
            merges=merges,
        ),
    )


def write_json(path, value, indent=None):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def main():
    reader, out = GGUFReader(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    merges = strings(reader, "tokenizer.ggml.merges")
    vocab = {token: id_ for id_, token in enumerate(strings(reader, "tokenizer.ggml.tokens"))}
    if len(vocab) != 50257 or vocab[END_OF_TEXT] != 50256:
        raise ValueError(f"{sys.argv[1]} does not hold the vocabulary of GPT-2")
    write_json(out / "vocab.json", vocab)
    (out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    write_json(out / "added_tokens.json", ADDED, indent=2)
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    write_json(out / "special_tokens_map.json", special, indent=2)
    write_json(out / "tokenizer_config.json", tokenizer_config(), indent=2)
    write_json(out / "tokenizer.json", fast_tokenizer(vocab, merges))


if __name__ == "__main__":
    main()
