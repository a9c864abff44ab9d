"""The torch extra: with PyTorch its programs run, without it the message says what to install."""

import importlib.util

import numpy as np
import pytest

from search_space.hardware import resolve_target
from tuner.compilation import compile_model, untuned
from tuner.errors import UserError
from tuner.frontends import load
from tuner.frontends.torch_export import from_torch

pytestmark = pytest.mark.tvm

has_torch = importlib.util.find_spec("torch") is not None


@pytest.mark.skipif(has_torch, reason="PyTorch is installed")
def test_the_missing_extra_is_named():
    with pytest.raises(UserError, match=r"tirtune\[torch\]"):
        load("model.pt2")


@pytest.mark.skipif(not has_torch, reason="needs the torch extra")
def test_an_exported_program_runs(tmp_path):
    import torch

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU6(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 5),
    ).eval()
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.export.save(torch.export.export(network, (image,)), tmp_path / "net.pt2")
    compiled = compile_model(load(str(tmp_path / "net.pt2")), resolve_target(), untuned)
    expected = np.array(network(image).tolist(), np.float32)
    got = compiled.run(np.array(image.tolist(), np.float32))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="cannot read"):
        load(str(tmp_path / "absent.pt2"))
    (tmp_path / "bad.pt2").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"not a torch\.export program"):
        load(str(tmp_path / "bad.pt2"))


@pytest.mark.skipif(not has_torch, reason="needs the torch extra")
def test_a_program_in_memory_is_a_workload():
    import torch

    import tuner

    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.GELU()).eval()
    rows = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    compiled = tuner.compile(torch.export.export(network, (rows,)), predict=False)
    got = compiled.run(np.array(rows.tolist(), np.float32))[0]
    np.testing.assert_allclose(got, np.array(network(rows).tolist()), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not has_torch, reason="needs the torch extra")
def test_an_unsupported_operator_is_named_with_node_and_shape():
    import torch

    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(torch.relu(x))

    program = torch.export.export(Model(), (torch.eye(3),))
    with pytest.raises(UserError, match=r"operator aten\._linalg_eigh.* of node '\w+' with .* 3x3 is"):
        from_torch(program)
