"""Train the tiny model.  Usage: train.py DATA_DIR OUT_DIR [--minutes M] [--steps N] [--lr ...]

DATA_DIR holds train.npy, valid.npy and compact.json, as written by make_corpus.py.  Writes model.pt, log.tsv and
summary.json.  The schedule follows the clock: the learning rate falls to zero at the end of the time given.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import TinyPhi
from muon import Muon

END_OF_TEXT = 50256
WARM_UP_STEPS = 100
DECAY_SHARE = 0.55  # the learning rate falls over this last part of the run
LOG_EVERY = 20
SAVE_EVERY = 400
CHECK_TOKENS = 80000  # held-out tokens looked at during training


def loss_of(model, ids, keep=None):
    """Mean next-token cross entropy."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model(ids[:, :-1], keep)
        logits = model.lm_head(hidden.reshape(-1, hidden.shape[-1]))
    return F.cross_entropy(logits.float(), ids[:, 1:].reshape(-1))


def batches(data, end, length, size, rng):
    """Endless batches of windows in random order, with a fresh random offset each epoch.  Every window is moved on to
    the next document start: a prompt also begins at position 0 with nothing before it."""
    begins = np.concatenate([[0], np.flatnonzero(data == end) + 1])
    begins = begins[begins < len(data) - length - 1]
    while True:
        grid = np.arange(int(rng.integers(0, length)), begins[-1], length)
        starts = begins[np.searchsorted(begins, grid)]
        rng.shuffle(starts)
        for at in range(0, len(starts) - size + 1, size):
            yield windows(data, starts[at : at + size], length)


def windows(data, starts, length):
    return torch.from_numpy(np.stack([data[start : start + length + 1] for start in starts]).astype(np.int64))


@torch.no_grad()
def evaluate(model, data, length=512, size=16):
    total = count = 0
    starts = list(range(0, len(data) - length - 1, length))
    for at in range(0, len(starts), size):
        batch = windows(data, starts[at : at + size], length)
        total += loss_of(model, batch).item() * len(batch)
        count += len(batch)
    return total / max(count, 1)


def rate_scale(step, done):
    """A short warm-up, then constant, then a linear fall. `done` is the share of the run that is over."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * min(1.0, max(0.02, (1 - done) / DECAY_SHARE))


class Trainer:
    def __init__(self, model, args):
        self.model, self.args = model, args
        self.inner = [parameter for parameter in model.layers.parameters() if parameter.ndim == 2]
        inner_ids = {id(parameter) for parameter in self.inner}
        self.rest = [parameter for parameter in model.parameters() if id(parameter) not in inner_ids]
        self.muon = Muon(self.inner)
        self.adam = torch.optim.AdamW(self.rest, lr=args.lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
        self.loss_of = torch.compile(loss_of) if args.compile else loss_of

    def step(self, ids, scale):
        keep = (torch.rand(ids.shape[0], ids.shape[1] - 1) >= self.args.blank).float()
        loss = self.loss_of(self.model, ids, keep)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.args.lr * scale
        self.adam.step()
        self.muon.step(self.args.muon_lr * scale)
        self.model.zero_grad(set_to_none=True)
        return loss.item()


def run(trainer, source, valid, out, args):
    """Trains until the minutes or the steps are used up.  Gives steps, minutes and the moving average of the loss."""
    start, step, average = time.time(), 0, None
    with open(out / "log.tsv", "w", encoding="utf-8") as log:
        while True:
            minutes = (time.time() - start) / 60
            done = max(minutes / args.minutes, step / args.steps)
            if done >= 1:
                return step, minutes, average
            scale = rate_scale(step, done)
            loss = trainer.step(next(source), scale)
            step += 1
            average = loss if average is None else 0.95 * average + 0.05 * loss
            if step % LOG_EVERY == 0:
                speed = step * args.batch * args.length / (time.time() - start)
                line = f"{step}\t{minutes:.2f}\t{loss:.4f}\t{average:.4f}\t{scale:.3f}\t{speed:.0f}"
                print(line, flush=True)
                print(line, file=log, flush=True)
            if step % SAVE_EVERY == 0:
                print(f"  valid {evaluate(trainer.model, valid[:CHECK_TOKENS]):.4f}", flush=True)
                torch.save(trainer.model.state_dict(), out / "model.pt")


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=40, help="wall-clock budget; drives the schedule")
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--blank", type=float, default=0.01, help="share of inputs shown as a zero row")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    args = parse_arguments()
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    train, valid = np.load(args.data / "train.npy"), np.load(args.data / "valid.npy")
    compact = json.loads((args.data / "compact.json").read_text())
    trainer = Trainer(TinyPhi(len(compact)), args)
    inner = sum(parameter.numel() for parameter in trainer.inner)
    print(
        f"vocab {len(compact)}  train tokens {len(train)}  valid tokens {len(valid)}  inner parameters {inner}",
        flush=True,
    )

    rng = np.random.default_rng(args.seed)
    source = batches(train, compact.index(END_OF_TEXT), args.length, args.batch, rng)
    steps, minutes, train_loss = run(trainer, source, valid, args.out, args)
    valid_loss = evaluate(trainer.model, valid)
    torch.save(trainer.model.state_dict(), args.out / "model.pt")
    summary = dict(
        steps=steps,
        tokens=steps * args.batch * args.length,
        minutes=round(minutes, 1),
        train_loss=round(train_loss, 4),
        valid_loss=round(valid_loss, 4),
        valid_perplexity=round(math.exp(valid_loss), 4),
        train_tokens=len(train),
        valid_tokens=len(valid),
        compact_vocab=len(compact),
    )
    (args.out / "summary.json").write_text(json.dumps(summary, indent=1))
    print(summary, flush=True)


if __name__ == "__main__":
    main()
