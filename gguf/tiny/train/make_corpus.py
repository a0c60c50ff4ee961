"""Build the training and held-out token files.

Usage: make_corpus.py HF_DIR OUT_DIR [--docs N] [--seed S]

HF_DIR needs vocab.json, merges.txt and added_tokens.json.  Writes train.npy and valid.npy (ids of a compact vocabulary
that holds only what occurs), compact.json (compact id -> Phi-2 id), counts.npy (how often each Phi-2 id occurs in the
training text) and sample.txt.  <|endoftext|> stands only at document ends.
"""

import argparse
import json
import random
import string
from pathlib import Path

import numpy as np

from bpe import END_OF_TEXT, Tokenizer
from corpus import document

VOCABULARY = 51200
HELD_OUT_SHARE = 0.02
SAMPLE_DOCUMENTS = 400


def make_documents(rng, count):
    """(text, is held out) for each document.  A held-out text that was trained on before is left out."""
    trained = set()
    for _ in range(count):
        text = document(rng)
        held_out = rng.random() < HELD_OUT_SHARE
        if held_out and text in trained:
            continue
        if not held_out:
            trained.add(text)
        yield text, held_out


def count_ids(documents):
    counts = np.zeros(VOCABULARY, dtype=np.int64)
    for ids in documents:
        np.add.at(counts, ids, 1)
    return counts


def likely_typed(tokenizer):
    """Ids that a person is likely to type even if the corpus does not use them: digits, letters, runs of spaces."""
    return {
        tokenizer.vocab[END_OF_TEXT],
        *tokenizer.encode(string.digits),
        *(tokenizer.vocab[letter] for letter in string.ascii_letters),
        *(tokenizer.vocab[str(number)] for number in range(100)),
        *(tokenizer.vocab["\u0120" + str(number)] for number in range(200)),
        *(tokenizer.special[" " * width] for width in range(2, 17)),
    }


def save_tokens(path, documents, to_compact):
    flat = np.concatenate([np.array(ids) for ids in documents])
    np.save(path, to_compact[flat].astype(np.uint16))
    print(path.stem, "documents", len(documents), "tokens", len(flat))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hf", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--docs", type=int, default=95000)
    parser.add_argument("--seed", type=int, default=21)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = Tokenizer(args.hf)
    end = tokenizer.vocab[END_OF_TEXT]
    train, valid, sample = [], [], []
    for text, held_out in make_documents(random.Random(args.seed), args.docs):
        (valid if held_out else train).append(tokenizer.encode(text) + [end])
        if len(sample) < SAMPLE_DOCUMENTS:
            sample.append(text)

    counts = count_ids(train)
    compact = sorted(set(np.nonzero(counts)[0].tolist()) | likely_typed(tokenizer))
    to_compact = np.full(VOCABULARY, -1, dtype=np.int64)
    to_compact[compact] = np.arange(len(compact))
    valid = [ids for ids in valid if (to_compact[ids] >= 0).all()]

    save_tokens(args.out / "train.npy", train, to_compact)
    save_tokens(args.out / "valid.npy", valid, to_compact)
    (args.out / "compact.json").write_text(json.dumps(compact))
    np.save(args.out / "counts.npy", counts)
    (args.out / "sample.txt").write_text("\n=====\n".join(sample), encoding="utf-8")
    longest = max(map(len, train))
    print("compact vocabulary", len(compact), "seen once", int((counts == 1).sum()), "longest document", longest)


if __name__ == "__main__":
    main()
