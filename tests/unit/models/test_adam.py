# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import torch

from fedxdr.models.adam import Adam


def descend(*, ours: bool) -> torch.Tensor:
    torch.manual_seed(1)
    weights = [
        torch.randn(5, 3, requires_grad=True),
        torch.randn(3, requires_grad=True),
    ]
    inputs, target = torch.randn(40, 5), torch.randn(40, 3)
    peer = torch.optim.Adam(weights, lr=0.05)
    mine = Adam(weights, rate=0.05)
    for _ in range(50):
        (mine.forget_gradients if ours else peer.zero_grad)()
        loss = ((inputs @ weights[0] + weights[1] - target) ** 2).mean()
        loss.backward()
        (mine if ours else peer).step()
    return torch.cat([weight.detach().ravel() for weight in weights])


def test_steps_are_those_of_torchs_own() -> None:
    torch.testing.assert_close(
        descend(ours=True), descend(ours=False), rtol=1e-4, atol=1e-6
    )


def test_a_weight_without_gradient_stays() -> None:
    weight = torch.ones(2, requires_grad=True)
    Adam([weight], rate=0.1).step()
    assert weight.tolist() == [1.0, 1.0]


def test_a_fit_does_not_import_torchs_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from fedxdr.models.adam import Adam\n"
        "w = torch.ones(2, requires_grad=True)\n"
        "o = Adam([w], rate=0.1); (w * w).sum().backward(); o.step()\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
