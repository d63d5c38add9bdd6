"""What the tests on a GPU share: a device, or the reason why they are skipped."""

import pytest
import torch


@pytest.fixture(autouse=True)
def cuda_device():
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device on this machine")
    if isinstance(torch.cuda.current_device(), torch.device):
        pytest.fail(
            "rehearsal redirects CUDA in this process; run ./launch/test.sh -m gpu tests/gpu, without others"
        )
    return torch.device("cuda", 0)
