"""The Muon optimizer: momentum, then an orthogonalized update.  For the matrices inside the layers."""

import torch


def orthogonalize(gradient, steps=5):
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix; its coefficients are Keller Jordan's."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.mT if tall else x).float()


class Muon:
    def __init__(self, parameters, momentum=0.95, decay=0.01):
        self.parameters, self.momentum, self.decay = list(parameters), momentum, decay
        self.averages = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, rate):
        for parameter, average in zip(self.parameters, self.averages):
            average.lerp_(parameter.grad, 1 - self.momentum)
            update = orthogonalize(parameter.grad.lerp(average, self.momentum))
            parameter.mul_(1 - rate * self.decay)
            parameter.add_(update, alpha=-rate * max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5)
