"""LSTPNet against the figures of the authors' code (tests/golden/README.md), and what a user relies on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lstpnet
from benchmarks.peers.plain_lstpnet import plain_lstpnet
from dfer_data.errors import UsageError
from lstpnet.checkpoints.authors_names import AUTHORS_FILES
from lstpnet.checkpoints.reference import load_reference
from lstpnet.models.channel_attention import ChannelAttention
from lstpnet.models.lstformer import LSTformer
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.resnet import Stage
from tests.golden.lstpnet_fill import clips, filled_state_dict, golden

DTYPES = {"f32": torch.float32, "f64": torch.float64}


@pytest.fixture(scope="module")
def filled() -> LSTPNet:
    """Float32, eval mode; tests leave it as it is."""
    return load_reference("lstpnet", filled_state_dict())


@contextmanager
def recorded_stages(model: LSTPNet) -> Iterator[dict[str, Tensor]]:
    """Collect outputs by the golden figures' stage names while the model runs."""
    net, layers = model.backbone, lstformer(model).layers
    stages: dict[str, nn.Module] = {"conv1": net.conv1, "stem": net.maxpool, "tce_gap": net}
    gates: dict[str, ChannelAttention] = {"gate_final": net.excitation}
    for number, stage in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), start=1):
        assert isinstance(stage, Stage)
        stages[f"layer{number}"] = stage
        if number > 1:
            gates |= {f"gate_layer{number}.{i}": block.excitation for i, block in enumerate(stage)}  # type: ignore[misc]
    for i, layer in enumerate(layers):
        stages[f"lst{i}"] = layer
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda module, inputs, out, name=name: outputs.__setitem__(name, out.detach()))
        for name, module in stages.items()
    ]
    for name, excitation in gates.items():

        def gate(x: Tensor, num_frames: int, real: Callable[..., Tensor] = excitation.gate, name: str = name) -> Tensor:
            outputs[name] = real(x, num_frames).detach()
            return real(x, num_frames)

        excitation.gate = gate  # type: ignore[method-assign]
    for i, layer in enumerate(layers):  # with the residual: what goes into the feed-forward part
        hooks.append(
            layer.get_submodule("feed_forward_norm").register_forward_pre_hook(
                lambda module, inputs, name=f"lst{i}.attn": outputs.__setitem__(name, inputs[0].detach())
            )
        )
    yield outputs
    for hook in hooks:
        hook.remove()
    for excitation in gates.values():
        del excitation.gate


def lstformer(model: LSTPNet) -> LSTformer:
    assert isinstance(model.head, LSTformer)
    return model.head


def assert_stages(outputs: Mapping[str, Tensor], wanted: Mapping[str, Mapping[str, Any]], *, atol: float) -> None:
    assert outputs.keys() == wanted.keys()
    for name, figures in wanted.items():
        out = outputs[name].double().reshape(figures["shape"])
        found = [out.mean(), out.std(correction=0), out.abs().max(), *out.flatten()[:8]]
        expected = [figures["mean"], figures["std"], figures["absmax"], *figures["first8"]]
        close(torch.stack(found), expected, atol=atol, what=name)


def close(found: Tensor, wanted: object, *, atol: float, what: str) -> None:
    expected = torch.tensor(wanted, dtype=torch.float64)
    torch.testing.assert_close(found.detach().double(), expected, rtol=0, atol=atol, msg=lambda text: f"{what}: {text}")


def test_the_filled_parameters_are_the_ones_of_the_figures(filled: LSTPNet) -> None:
    wanted = golden()["64"]["train_f64"]["param_l2"]
    norms = {
        AUTHORS_FILES["lstpnet"].authors_name(name): parameter.double().norm().item()
        for name, parameter in filled.named_parameters()
    }
    assert norms == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("size_px", "dtype", "atol"), [(224, "f32", 1e-5), (64, "f32", 1e-5), (64, "f64", 1e-11)])
def test_eval_figures(filled: LSTPNet, size_px: int, dtype: str, atol: float) -> None:
    wanted = golden()[str(size_px)][f"eval_{dtype}"]
    model = filled if dtype == "f32" else load_reference("lstpnet", filled_state_dict()).double()
    x = clips(size_px).to(DTYPES[dtype])
    with torch.no_grad(), recorded_stages(model) as outputs:
        features = model.features(x)
        logits = model.fc(features)
        last_map = lstformer(model).attention_maps(outputs["tce_gap"].reshape(2, 16, 512))[-1]
    outputs["time_mean"] = features
    close(logits, wanted["logits"], atol=1e-12 if dtype == "f64" else atol, what="logits")
    assert_stages(outputs, wanted["stages"], atol=atol)
    if dtype == "f32":
        close(features, wanted["features"], atol=atol, what="features")
        assert_stages({"attn": last_map}, {"attn": wanted["attn_last"]}, atol=atol)


def test_train_logits_in_float32() -> None:
    model = load_reference("lstpnet", filled_state_dict()).train()
    with torch.no_grad():
        close(model(clips(64)), golden()["64"]["train_f32"]["logits"], atol=1e-4, what="logits")


def test_a_train_step_in_float64() -> None:
    wanted = golden()["64"]["train_f64"]
    model = load_reference("lstpnet", filled_state_dict()).double().train()
    with recorded_stages(model) as outputs:
        features = model.features(clips(64).double())
    outputs["time_mean"] = features
    logits = model.fc(features)
    loss = F.cross_entropy(logits, torch.tensor(golden()["labels"]))
    torch.autograd.backward(loss)
    close(logits, wanted["logits"], atol=1e-11, what="logits")
    close(features, wanted["features"], atol=1e-11, what="features")
    assert_stages(outputs, wanted["stages"], atol=1e-11)
    assert loss.item() == pytest.approx(wanted["loss"], rel=1e-11)
    norms = {}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        norms[AUTHORS_FILES["lstpnet"].authors_name(name)] = parameter.grad.norm().item()
    idle = {name for name, norm in wanted["grad_l2"].items() if norm < 1e-9}  # biases before a batch norm
    assert len(idle) == 19
    assert max(norms.pop(name) for name in idle) < 1e-9
    assert norms == pytest.approx(
        {name: norm for name, norm in wanted["grad_l2"].items() if name not in idle}, rel=1e-9
    )
    assert_batch_norms(model, wanted["bn_after_step"])


def assert_batch_norms(model: LSTPNet, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    buffers = {AUTHORS_FILES["lstpnet"].authors_name(name): buffer for name, buffer in model.named_buffers()}
    counts = {name for name in buffers if name.endswith("num_batches_tracked")}
    assert all(buffers[name] == 1 for name in counts)
    assert buffers.keys() - counts == wanted.keys()
    for name, figures in wanted.items():
        found = torch.stack([buffers[name].norm(), *buffers[name][:4]])
        close(found, [figures["norm"], *figures["first4"]], atol=1e-11, what=name)


def both_forms(width_multiplier: float, *, seed: int, dtype: torch.dtype) -> tuple[LSTPNet, LSTPNet]:
    """Our network and its plain form with the same weights."""
    torch.manual_seed(seed)
    ours = LSTPNet(5, width_multiplier=width_multiplier).to(dtype)
    plain = plain_lstpnet(5, width_multiplier=width_multiplier).to(dtype)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@settings(max_examples=12)
@given(
    num_clips=st.integers(1, 2),
    num_frames=st.integers(1, 8),
    size_px=st.sampled_from([32, 40, 64]),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_whole_network_is_its_plain_form(
    num_clips: int, num_frames: int, size_px: int, channels_last: bool, seed: int
) -> None:
    ours, plain = both_forms(0.125, seed=seed, dtype=torch.float64)
    if channels_last:
        ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(num_clips, num_frames, 3, size_px, size_px, dtype=torch.float64)
    labels = torch.arange(num_clips)
    logits, gradients = [], []
    for model in (ours.eval(), plain.eval()):
        out = model(x)
        grads = torch.autograd.grad(F.cross_entropy(out, labels), list(model.parameters()))
        logits.append(out.detach())
        gradients.append(torch.cat([one.flatten() for one in grads]))
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-12)


def test_the_whole_network_is_its_plain_form_at_full_width_and_size() -> None:
    ours, plain = both_forms(1.0, seed=3, dtype=torch.float32)
    ours.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(1, 4, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain.eval()(x), rtol=0, atol=1e-5)


def test_with_he_scaled_weights_float64_agrees_and_float32_differs_by_its_rounding() -> None:
    """Activations grow through the layers, and with them float32's rounding: a bound of 1e-5 needs small weights."""
    ours, plain = both_forms(1.0, seed=4, dtype=torch.float64)
    for parameter in ours.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
    plain.load_state_dict(ours.state_dict())
    x = torch.rand(1, 4, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        exact, plain_exact = ours.eval()(x), plain.eval()(x)
        rounded, plain_rounded = ours.float()(x.float()), plain.float()(x.float())
    scale = exact.abs().max().item()
    torch.testing.assert_close(exact, plain_exact, rtol=0, atol=1e-12 * max(1, scale))
    float32_error = (plain_rounded.double() - plain_exact).abs().max().item()
    assert (rounded.double() - exact).abs().max().item() < 10 * float32_error


@pytest.mark.parametrize("num_steps", [1, 2])
def test_recomputing_changes_no_number(num_steps: int) -> None:
    torch.manual_seed(0)
    models = [LSTPNet(5, width_multiplier=0.125).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    models[1].backbone.recomputes = True
    x = torch.rand(2, 4, 3, 48, 48, dtype=torch.float64)
    for model in models:
        for _ in range(num_steps):
            model.zero_grad()
            torch.autograd.backward(F.cross_entropy(model(x), torch.tensor([0, 1])))
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)
    for name, buffer in models[0].named_buffers():  # the norms have seen the batch once
        assert torch.equal(buffer, models[1].get_buffer(name)), name


@pytest.mark.parametrize("attention", ["tce", "eca"])
def test_channels_last_goes_through_the_backbone(attention: str) -> None:
    model = LSTPNet(width_multiplier=0.25, attention=attention).eval()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layouts = []
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda module, inputs, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last))
            )
    with torch.no_grad():
        model(torch.rand(1, 3, 3, 64, 64))
    assert len(layouts) == 20
    assert all(layouts)


@pytest.mark.parametrize(
    ("width_multiplier", "num_parameters"), [(1, 24_619_686), (0.5, 6_183_222), (0.25, 1_559_990), (0.125, 397_166)]
)
def test_number_of_parameters(width_multiplier: float, num_parameters: int) -> None:
    with torch.device("meta"):
        model = LSTPNet(width_multiplier=width_multiplier)
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters


@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 32, 32), (3, 40, 33), (16, 48, 64), (20, 32, 50)])
def test_any_number_of_frames_and_any_size(num_frames: int, height: int, width: int) -> None:
    model = LSTPNet(5, width_multiplier=0.125).eval()
    x = torch.rand(2, num_frames, 3, height, width)
    with torch.no_grad():
        assert model(x).shape == (2, 5)
        assert model.features(x).shape == (2, model.dim) == (2, 64)
        assert model.frame_features(x).shape == (2, num_frames, 64)
        assert model.attention_maps(x).shape == (2, 2, 8, num_frames, num_frames)


def test_clips_of_a_batch_do_not_touch_each_other_in_eval_mode() -> None:
    model, x = LSTPNet(width_multiplier=0.125).eval(), torch.rand(3, 4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.cat([model(one[None]) for one in x]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((16, 3, 32, 32), torch.float32, r"\(16, 3, 32, 32\); expected \(batch, frames, 3"),
        ((1, 3, 16, 32, 32), torch.float32, "expected"),
        ((1, 0, 3, 32, 32), torch.float32, "expected"),
        ((1, 4, 3, 31, 32), torch.float32, "32 px or more"),
        ((1, 4, 3, 32, 32), torch.uint8, "uint8; convert to float and divide by 255"),
    ],
)
def test_other_inputs_are_refused(shape: tuple[int, ...], dtype: torch.dtype, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LSTPNet(width_multiplier=0.125)(torch.zeros(shape, dtype=dtype))


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_classes": 0},
        {"num_layers": 0},
        {"width_multiplier": 0.3},
        {"attention": "gct"},
        {"temporal": "tcn"},
        {"hidden_multiplier": 0},
    ],
)
def test_other_settings_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="|".join(arguments)):
        LSTPNet(**arguments)


def test_it_runs_and_learns_in_bfloat16_autocast() -> None:
    torch.manual_seed(0)
    model, x = LSTPNet(width_multiplier=0.25), torch.rand(2, 4, 3, 32, 32)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    assert (logits - exact).abs().max() < 0.25
    torch.autograd.backward(F.cross_entropy(logits.float(), torch.tensor([0, 1])))
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_package_loads_torch_on_first_use_only() -> None:
    code = "import sys, lstpnet; assert 'torch' not in sys.modules; lstpnet.LSTPNet; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert lstpnet.LSTPNet is LSTPNet
    assert lstpnet.load_reference is load_reference
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        lstpnet.nonsense  # noqa: B018


@pytest.mark.parametrize("autocast", [False, True])
def test_one_graph_holds_the_whole_network(autocast: bool) -> None:
    """torch.compile makes one CUDA graph of it only if no part is left to Python."""
    torch._dynamo.reset()
    model = LSTPNet(3, width_multiplier=0.125).train()
    traced = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    clips = torch.rand(2, 4, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        assert torch.equal(traced(clips), model(clips))
