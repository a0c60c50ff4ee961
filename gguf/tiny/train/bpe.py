"""CodeGen/Phi-2 byte-level BPE tokenizer, written from the published vocabulary files.

Reads vocab.json, merges.txt and added_tokens.json from an HF-style folder.  The added tokens (runs of 2 to 31 spaces,
2 to 9 tabs) and <|endoftext|> are cut out first, longest first; what remains goes through the GPT-2 pre-tokenizer and
the merge table.  No BOS token is added.
"""

import json
from pathlib import Path

import regex

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
END_OF_TEXT = "<|endoftext|>"


def bytes_to_unicode():
    """GPT-2's reversible map from the 256 byte values to printable characters."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


class Tokenizer:
    def __init__(self, folder):
        folder = Path(folder)
        self.vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self.special = json.loads((folder / "added_tokens.json").read_text(encoding="utf-8"))
        self.special[END_OF_TEXT] = self.vocab[END_OF_TEXT]
        longest_first = sorted(self.special, key=len, reverse=True)
        self.special_pattern = regex.compile("(" + "|".join(map(regex.escape, longest_first)) + ")")
        self.word_pattern = regex.compile(GPT2_PATTERN)
        self.byte_to_character = bytes_to_unicode()
        self.character_to_byte = {character: byte for byte, character in self.byte_to_character.items()}
        self.id_to_token = {id_: token for token, id_ in self.vocab.items()}
        self.id_to_special = {id_: token for token, id_ in self.special.items()}
        self.cache = {}

    def encode(self, text):
        ids = []
        for part in self.special_pattern.split(text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                for word in self.word_pattern.findall(part):
                    ids.extend(self._encode_word(word))
        return ids

    def decode(self, ids):
        data = bytearray()
        for id_ in ids:
            if id_ in self.id_to_special:
                data += self.id_to_special[id_].encode("utf-8")
            elif id_ in self.id_to_token:
                data += bytes(self.character_to_byte[character] for character in self.id_to_token[id_])
        return data.decode("utf-8", errors="replace")

    def _encode_word(self, word):
        if word not in self.cache:
            symbols = [self.byte_to_character[byte] for byte in word.encode("utf-8")]
            while pair := self._best_pair(symbols):
                symbols = merged(symbols, pair)
            self.cache[word] = [self.vocab[symbol] for symbol in symbols]
        return self.cache[word]

    def _best_pair(self, symbols):
        """The neighbours that are merged first, or None."""
        pairs = [pair for pair in zip(symbols, symbols[1:]) if pair in self.ranks]
        return min(pairs, key=self.ranks.__getitem__, default=None)


def merged(symbols, pair):
    out, at = [], 0
    while at < len(symbols):
        if tuple(symbols[at : at + 2]) == pair:
            out.append(symbols[at] + symbols[at + 1])
            at += 2
        else:
            out.append(symbols[at])
            at += 1
    return out
