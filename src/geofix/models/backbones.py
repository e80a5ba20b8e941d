"""Backbones: a network by name, cut after one of its stages. The one door to timm and torchvision's models."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor, nn

from geofix.errors import RecipeError, WeightsError
from geofix.tensors import Images, Maps, Pooled, StageMaps

RGB = tuple[float, float, float]
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)  # of pixels in 0..1
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
_STAGE_ALIASES = {"conv4": "layer3", "conv5": "layer4"}  # the papers count ResNet's stem as conv1


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a weights file gave a trunk: how many of its tensors it covered, and which it left out or added."""

    covered: int
    expected: int
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        left = f"; missing: {', '.join(self.missing[:5])}" if self.missing else ""
        extra = f"; {len(self.unused)} tensors of the file belong to layers after the cut" if self.unused else ""
        return f"{self.covered} of {self.expected} tensors of the trunk were loaded{left}{extra}"


class Trunk(nn.Module):
    """A network up to one stage: images (n, 3, h, w) -> maps (n, channels, h / stride, w / stride).

    `mean` and `std` are those of the photos it was, or would be, pretrained on.
    """

    def __init__(self, network: nn.Module, stage: int, channels: int, stride: int) -> None:
        super().__init__()
        self.network = network
        self.stage = stage
        self.channels = channels
        self.stride = stride
        self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD

    def forward(self, images: Images) -> Maps:
        """The maps of the cut stage."""
        maps: Maps = self.network.forward_intermediates(  # type: ignore[operator]
            images, indices=[self.stage], intermediates_only=True, stop_early=True
        )[0]
        return maps


class StagedTrunk(nn.Module):
    """A network up to one stage, with the maps of earlier ones: images (n, 3, h, w) -> maps of each of `stages`.

    `stage_channels` are theirs. Its tensors have the names of a Trunk's.
    """

    def __init__(self, network: nn.Module, stages: tuple[int, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.stages, self.stage_channels = stages, channels
        self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD

    def forward(self, images: Images) -> tuple[StageMaps, ...]:
        """The maps of each stage, in the order of `stages`."""
        wanted = sorted(set(self.stages))
        found = self.network.forward_intermediates(  # type: ignore[operator]
            images, indices=wanted, intermediates_only=True, stop_early=True
        )
        maps = dict(zip(wanted, found, strict=True))
        return tuple(maps[stage] for stage in self.stages)


class WholeTrunk(nn.Module):
    """A network without its classes: images (n, 3, h, w) -> what it sees last, maps (n, c, h / stride, w / stride) of
    most networks, tokens of some.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.channels = int(network.head_hidden_size)  # type: ignore[arg-type]
        self.mean, self.std = _looks(network)

    def forward(self, images: Images) -> Tensor:
        """Maps or tokens."""
        seen: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        return seen

    def pooled(self, seen: Tensor) -> Pooled:
        """One vector (n, channels) a photo: of maps the mean over the picture, of tokens what the network takes."""
        vectors: Tensor = self.network.forward_head(seen, pre_logits=True)  # type: ignore[operator]
        return vectors


class PooledTrunk(WholeTrunk):
    """A network without its classes that keeps what it sees on the way, too: images (n, 3, h, w) -> the maps of some
    of its modules and its last ones, whose vector holds three numbers of each channel: the mean over the picture's
    upper half, over its lower half, and the deviation over all of it.

    How a photo was made and what it is lit by shows early, what is in it late, and sky and road are not in one half.
    """

    def __init__(self, network: nn.Module, modules: Sequence[str], image_size: tuple[int, int]) -> None:
        super().__init__(network)
        self.modules_seen = tuple(modules)
        with torch.inference_mode():
            maps = self(torch.zeros(1, 3, *image_size))
        self.widths = tuple(one.shape[1] for one in maps)
        self.channels = 3 * sum(self.widths)

    def forward(self, images: Images) -> tuple[StageMaps, ...]:  # type: ignore[override]
        """The maps of each module (n, c, h, w), of the last part last. Raises RecipeError where one gives no maps."""
        seen: dict[str, Tensor] = {}
        hooks = [
            self.network.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: seen.update({name: out})
            )
            for name in self.modules_seen
        ]
        try:
            last = super().forward(images)
        finally:
            for hook in hooks:
                hook.remove()
        maps = [*(seen.get(name) for name in self.modules_seen), last]
        for name, one in zip((*self.modules_seen, "the last part"), maps, strict=True):
            if not isinstance(one, Tensor) or one.ndim != 4:
                raise RecipeError(f"{name} of this backbone gives no maps to pool; name others in stages, or none.")
        return tuple(maps)  # type: ignore[arg-type]

    def pooled(self, seen: tuple[StageMaps, ...]) -> Pooled:  # type: ignore[override]
        """(n, channels): of every module's maps the means of both halves, then the deviation."""
        parts = []
        for maps in seen:
            rows = maps.shape[2]
            parts += [maps[:, :, : (rows + 1) // 2].mean(dim=(2, 3)), maps[:, :, rows // 2 :].mean(dim=(2, 3))]
            # The least variance keeps the square root's slope finite.
            parts.append((maps.var(dim=(2, 3), correction=0) + 1e-12).sqrt())
        return torch.cat(parts, dim=1)


class AlexNetTrunk(nn.Module):
    """torchvision's AlexNet up to conv5, without its last ReLU and pooling, as the benchmark code cuts it."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.channels = 256
        self.stride = 16
        self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD

    def forward(self, images: Images) -> Maps:
        """Maps of 256 channels."""
        maps: Maps = self.features(images)
        return maps


def open_trunk(name: str, cut: str, *, pretrained: bool) -> nn.Module:
    """A backbone by name, cut after `cut`; `pretrained` takes ImageNet weights from the local hub cache or hub.

    Raises RecipeError for an unknown name or cut, WeightsError where pretrained weights cannot be reached.
    """
    if name == "alexnet":
        return _alexnet(cut, pretrained)
    network, stages = _staged_network(name, pretrained)
    stage = _stage(name, cut, stages)
    info = network.feature_info[stage]
    network.prune_intermediate_layers([stage], prune_norm=True, prune_head=True)
    trunk = Trunk(network, stage, int(info["num_chs"]), int(info["reduction"]))
    trunk.mean, trunk.std = _looks(network)
    return trunk


def open_whole_trunk(
    name: str,
    *,
    pretrained: bool,
    options: Mapping[str, str | int | float | bool] | None = None,
    stages: Sequence[str] = (),
    image_size: tuple[int, int] = (224, 224),
) -> WholeTrunk:
    """A backbone by name as a whole, but for its classes; `options` go to timm's constructor. With `stages`, names of
    its modules, their maps are pooled, too.

    Raises RecipeError for an unknown name, option or stage, WeightsError as `open_trunk`.
    """
    _check_name(name)
    network: Any = _timm_network(name, pretrained, **(options or {}))
    if not hasattr(network, "forward_features") or not hasattr(network, "head_hidden_size"):
        raise RecipeError(f"{name} does not say what it sees before it names classes; choose another backbone.")
    if not stages:
        return WholeTrunk(network)
    known = {module for module, _ in network.named_modules()}
    if unknown := [stage for stage in stages if stage not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=3)
        hint = f"; near to it are {', '.join(close)}" if close else ""
        raise RecipeError(f"{name} has no part named {unknown[0]!r}{hint}.")
    return PooledTrunk(network.eval(), stages, image_size)


def open_staged_trunk(
    name: str, cut: str, earlier: Sequence[str], *, pretrained: bool, last_stride: int = 2
) -> StagedTrunk:
    """A backbone by name, cut after `cut`, that gives the maps of the `earlier` stages, too, and before that one's.

    `last_stride` 1 takes the stride out of the stage of `cut`, and nothing else (no dilation), so that its maps are
    twice as fine, as Sun et al. (2018) do. Raises RecipeError and WeightsError as `open_trunk`.
    """
    network, stages = _staged_network(name, pretrained)
    last = _stage(name, cut, stages)
    wanted = (*(_stage(name, stage, stages) for stage in earlier), last)
    if max(wanted) > last:
        raise RecipeError(f"The stages {', '.join(earlier)} are to be looked at, but the trunk is cut after {cut}.")
    channels = tuple(int(network.feature_info[stage]["num_chs"]) for stage in wanted)
    network.prune_intermediate_layers([last], prune_norm=True, prune_head=True)
    trunk = StagedTrunk(network, wanted, channels)
    trunk.mean, trunk.std = _looks(network)
    if last_stride == 1:
        _unstrided(trunk, network.get_submodule(stages[last]), f"{name} cut after {cut}")
    return trunk


def _staged_network(name: str, pretrained: bool) -> tuple[Any, list[str]]:
    """A network of timm that can be cut after a stage, and the names of its stages."""
    _check_name(name)
    network: Any = _timm_network(name, pretrained)
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "prune_intermediate_layers"):
        raise RecipeError(f"{name} cannot be cut after a stage: timm knows none of it; choose another backbone.")
    return network, [str(info["module"]) for info in network.feature_info]


def _check_name(name: str) -> None:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, [*timm.list_models(), "alexnet"], n=3)
        hint = f"; near to it are {', '.join(close)}" if close else ""
        raise RecipeError(f"There is no backbone named {name!r}{hint}. Any model of timm, or alexnet, can be used.")


def _looks(network: Any) -> tuple[RGB, RGB]:
    """Mean and standard deviation of the photos a network was, or would be, pretrained on."""
    looks = network.pretrained_cfg
    return tuple(looks.get("mean", IMAGENET_MEAN)), tuple(looks.get("std", IMAGENET_STD))


@torch.inference_mode()
def _unstrided(trunk: StagedTrunk, stage: nn.Module, what: str) -> None:
    """Take the stride out of a stage; what has none, or does not become twice as fine by that, is an error."""
    probe = torch.zeros(1, 3, 128, 128)
    before = trunk.eval()(probe)[-1].shape[-2:]
    for name, module in list(stage.named_modules()):
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d) and module.stride in (2, (2, 2)):
            stage.set_submodule(name, nn.Identity())
    after = trunk(probe)[-1].shape[-2:]
    if after != tuple(2 * side for side in before):
        raise RecipeError(
            f"The stride cannot be taken out of {what}: its maps are {before[0]}x{before[1]} before and "
            f"{after[0]}x{after[1]} after; set last_stride to 2."
        )


def parts_through(trunk: nn.Module, last: str | None) -> list[nn.Parameter]:
    """The parameters of a trunk from its beginning through the part named `last`, in the order of definition.

    ResNet: conv1, layer1, layer2 and so on; AlexNet and VGG: features.0, features.1 and so on. None is no part.
    Raises RecipeError that names the parts there are.
    """
    if last is None:
        return []
    network = _network(trunk)
    named = list(network.named_parameters())
    inside = [number for number, (name, _) in enumerate(named) if name.startswith(f"{last}.")]
    if not inside:
        parts = dict.fromkeys(name.split(".")[0] for name, _ in named)
        raise RecipeError(
            f"frozen_through is {last!r}, which is no part of this backbone; its parts are {', '.join(parts)} "
            "(and what lies in them, as features.4). Leave it empty to train everything."
        )
    return [parameter for _, parameter in named[: inside[-1] + 1]]


def load_trunk_weights(trunk: nn.Module, path: Path) -> Coverage:
    """Fill a trunk from a file of weights (safetensors, or a PyTorch state dict read without running code).

    A file that covers only part is accepted and the report says what it covered; a file that covers none, or
    whose shapes differ, is another network's: WeightsError.
    """
    state = read_state(path)
    network = _network(trunk)
    own = network.state_dict()
    state = _unprefixed(state, own)
    wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
    if wrong:
        key = wrong[0]
        raise WeightsError(
            f"{path} belongs to another network: {key} is {tuple(state[key].shape)} there and "
            f"{tuple(own[key].shape)} in this trunk; choose the backbone the weights were made for."
        )
    counted = [key for key in own if not key.endswith("num_batches_tracked")]
    covered = [key for key in counted if key in state]
    if not covered:
        raise WeightsError(
            f"{path} covers nothing of this trunk: it holds {_some(state)}, where {_some(own)} are expected; "
            "choose the backbone the weights were made for."
        )
    network.load_state_dict({key: state[key].to(own[key].dtype) for key in own if key in state}, strict=False)
    return Coverage(
        covered=len(covered),
        expected=len(counted),
        missing=tuple(key for key in counted if key not in state),
        unused=tuple(key for key in state if key not in own),
    )


def _network(trunk: nn.Module) -> nn.Module:
    """What timm made, whatever wraps it."""
    network = trunk.network if isinstance(trunk, Trunk | StagedTrunk | WholeTrunk) else trunk
    assert isinstance(network, nn.Module)
    return network


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by name; never runs code from the file. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}; give --weights the path of a .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds for broken bytes
        raise WeightsError(
            f"{path} cannot be read as weights ({' '.join(str(error).split())[:200]}); "
            "a .safetensors file or a PyTorch state dict is expected."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds something other than named tensors; a state dict is expected.")
    return state


def _timm_network(name: str, pretrained: bool, **options: Any) -> nn.Module:
    known = timm.list_pretrained(f"{name.partition('.')[0]}.*")
    if "." in name and name not in known:
        raise RecipeError(f"timm has no weights named {name!r}; it has: {', '.join(known[:5]) or 'none'}.")
    if pretrained and not _reachable(name):
        raise _unreachable(name)
    try:
        network: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        raise RecipeError(f"{name} cannot be made with {dict(options)} ({error}); leave such options out.") from error
    except Exception as error:
        if not pretrained:
            raise
        raise _unreachable(name) from error
    return network


def _reachable(name: str) -> bool:
    """Whether a model's weights lie in the cache, or the hub's address is known at all.

    Without this question the hub's client would retry for most of a minute where there is no network.
    """
    repository = timm.get_pretrained_cfg_value(name, "hf_hub_id")
    files = ("model.safetensors", "pytorch_model.bin")
    if getproxies():  # a proxy looks names up for us, and they may mean nothing here
        return True
    if not repository or any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return True
    try:
        socket.getaddrinfo(urlsplit(hub.ENDPOINT).hostname, None)
    except OSError:
        return False
    return True


def _unreachable(name: str) -> WeightsError:
    return WeightsError(
        f"The ImageNet weights of {name} are neither in the local cache ({_hub_cache()}) nor can they be "
        "downloaded; give a file with --weights FILE, or start from random weights with --set pretrained=none."
    )


def _hub_cache() -> str:
    return os.environ.get("HF_HOME", "~/.cache/huggingface")


def _stage(name: str, cut: str, stages: list[str]) -> int:
    wanted = _STAGE_ALIASES.get(cut, cut)
    if wanted == "last":
        return len(stages) - 1
    if wanted in stages:
        return stages.index(wanted)
    raise RecipeError(f"{name} has no stage {cut!r} to cut after; it has: {', '.join(stages)}, or 'last'.")


def _alexnet(cut: str, pretrained: bool) -> nn.Module:
    from torchvision import models  # several seconds to import, needed by this network alone

    if cut not in {"conv5", "last"}:
        raise RecipeError(f"alexnet has no stage {cut!r} to cut after; it has: conv5, or 'last'.")
    try:
        weights = models.AlexNet_Weights.IMAGENET1K_V1 if pretrained else None
        network = models.alexnet(weights=weights)
    except Exception as error:
        raise _unreachable("alexnet") from error
    return AlexNetTrunk(network.features[:-2])


def _unprefixed(state: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors without a wrapper's prefix (module., model., backbone.), if that is what hides them."""
    for prefix in ("", "module.", "model.", "backbone.", "network."):
        cut = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if any(key in own for key in cut):
            return cut
    return state


def _some(state: dict[str, torch.Tensor]) -> str:
    return ", ".join(list(state)[:3]) + " ..." if state else "nothing"
