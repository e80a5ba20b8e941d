"""Classifiers: what learns in which phase (parity case 13), options of timm, class activation."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn
from torch.nn import functional

from geofix import recipes
from geofix.errors import RecipeError, UsageError
from geofix.models.classifier import Classifier, Design, activation, check_looks, open_classifier
from geofix.models.countries import head_design, router_design
from geofix.recipes import CountryRecipe

TINY = Design("test_resnet", "layer2", 0.5, (32, 32))


def paper() -> CountryRecipe:
    recipe = recipes.load_any("lavinskyi-country")
    assert isinstance(recipe, CountryRecipe)
    return recipe


def hashes(classifier: Classifier) -> dict[str, str]:
    """Of every tensor, buffers of batch norms included."""
    return {
        name: hashlib.sha256(value.detach().numpy().tobytes()).hexdigest()
        for name, value in classifier.state_dict().items()
    }


def changed_by_a_step(classifier: Classifier, *, trunk_learns: bool, batch_norm_learns: bool) -> set[str]:
    before = hashes(classifier)
    classifier.ready(trunk_learns=trunk_learns, batch_norm_learns=batch_norm_learns)
    optimizer = torch.optim.Adam([p for p in classifier.parameters() if p.requires_grad], lr=1e-3)
    loss = functional.cross_entropy(classifier(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    optimizer.step()
    return {name for name, value in hashes(classifier).items() if value != before[name]}


@pytest.mark.parametrize(
    ("design", "open_parts"),
    [
        # torchvision's features[6:] of EfficientNet-B0 are timm's last two blocks and what follows them.
        (router_design(paper()), ("blocks.5.", "blocks.6.", "conv_head.", "bn2.")),
        (head_design(paper()), ("layer3.4.", "layer3.5.", "layer4.")),
    ],
    ids=["efficientnet_b0", "resnet50"],
)
def test_phase_1_changes_the_classes_alone_and_phase_2_the_upper_layers_too(
    design: Design, open_parts: tuple[str, ...]
) -> None:
    classifier = open_classifier(design, 3, pretrained=False, seed=0)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):  # some start at 0, and let no gradient through
            nn.init.ones_(module.weight)
    own = {"layer.weight", "layer.bias"}
    assert changed_by_a_step(classifier, trunk_learns=False, batch_norm_learns=True) == own
    opened = {
        name
        for name, parameter in classifier.named_parameters()
        if name.removeprefix("trunk.network.").startswith(open_parts) and name not in own
    }
    assert opened
    assert changed_by_a_step(classifier, trunk_learns=True, batch_norm_learns=False) == own | opened
    moved = changed_by_a_step(classifier, trunk_learns=True, batch_norm_learns=True) - own - opened
    assert moved
    assert all(name.removeprefix("trunk.network.").startswith(open_parts) for name in moved)
    assert {name.rsplit(".", 1)[1] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}


def test_the_share_that_learns_is_about_the_papers_30_percent_of_layers() -> None:
    """3.08 of 4.05 million weights of EfficientNet-B0 and 17.2 of 23.6 of ResNet-50 lie in its upper 30 % of layers."""
    for design, low, high in ((router_design(paper()), 0.74, 0.79), (head_design(paper()), 0.70, 0.75)):
        classifier = open_classifier(design, 3, pretrained=False, seed=0)
        opened = sum(parameter.numel() for parameter in classifier.open_parameters())
        assert low < opened / sum(parameter.numel() for parameter in classifier.trunk.parameters()) < high


def test_dropout_is_on_while_it_learns_and_off_afterwards() -> None:
    classifier = open_classifier(TINY, 3, pretrained=False, seed=0)
    images = torch.randn(2, 3, 32, 32)
    classifier.ready(trunk_learns=False, batch_norm_learns=False)
    assert not torch.equal(classifier(images), classifier(images))
    classifier.eval()
    assert torch.equal(classifier(images), classifier(images))


def test_the_same_seed_gives_the_same_network_and_leaves_the_random_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (open_classifier(TINY, 3, pretrained=False, seed=7) for _ in range(2))
    assert hashes(first) == hashes(second)
    assert hashes(first) != hashes(open_classifier(TINY, 3, pretrained=False, seed=8))
    assert torch.equal(torch.rand(1), expected)


def test_options_go_to_timm() -> None:
    same = Design("mobilenetv2_100", "blocks.4", 0.5, (64, 64), options={"pad_type": "same"})
    trunk = open_classifier(same, 3, pretrained=False, seed=0).trunk
    assert type(trunk.network.conv_stem).__name__ == "Conv2dSame"
    wrong = Design("mobilenetv2_100", None, 0.5, (64, 64), options={"paddings": 3})
    with pytest.raises(RecipeError, match="cannot be made with .*'paddings': 3.*leave such options out"):
        open_classifier(wrong, 3, pretrained=False, seed=0)


def test_bad_names_and_sizes_are_told_at_once() -> None:
    with pytest.raises(RecipeError, match="no backbone named 'resnet5'"):
        open_classifier(Design("resnet5", None, 0.5, (32, 32)), 3, pretrained=False, seed=0)
    with pytest.raises(RecipeError, match=r"frozen_through is 'layer9', which is no part of this backbone"):
        open_classifier(Design("test_resnet", "layer9", 0.5, (32, 32)), 3, pretrained=False, seed=0)
    vit = open_classifier(Design("vit_tiny_patch16_224", None, 0.5, (96, 96)), 3, pretrained=False, seed=0)
    with pytest.raises(RecipeError, match="cannot look at images of 96x96"):
        check_looks(vit)


def test_activation_is_what_each_place_adds_to_the_logit_beyond_those_of_all_classes() -> None:
    classifier = open_classifier(TINY, 3, pretrained=False, seed=0).eval()
    images = torch.randn(2, 3, 64, 64)
    found = activation(classifier, images, 1)
    with torch.no_grad():
        maps = classifier.trunk(images)
        logits = classifier(images)
    layer = classifier.layer
    weights = (layer.weight[1] - layer.weight.mean(dim=0)).detach()
    for photo in range(2):
        for row in range(maps.shape[2]):
            for column in range(maps.shape[3]):
                by_hand = float((weights * maps[photo, :, row, column]).sum())
                assert float(found[photo, row, column]) == pytest.approx(by_hand, abs=1e-5)
    means = found.mean(dim=(1, 2)) + (layer.bias[1] - layer.bias.mean()).detach()
    assert torch.allclose(means, logits[:, 1] - logits.mean(dim=1), atol=1e-5)
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_networks_without_maps_cannot_be_shown() -> None:
    vit = open_classifier(Design("vit_tiny_patch16_224", None, 0.5, (224, 224)), 3, pretrained=False, seed=0)
    with pytest.raises(UsageError, match="has no maps to show"):
        activation(vit, torch.zeros(1, 3, 224, 224), 0)


def test_a_trunk_that_is_frozen_to_its_end_has_nothing_open() -> None:
    classifier = open_classifier(Design("test_resnet", "layer4", 0.5, (32, 32)), 3, pretrained=False, seed=0)
    assert classifier.open_parameters() == []
    assert not any(isinstance(module, nn.Conv2d) for module in classifier.open_modules())
