"""The AdvNet step and DeepLab in PyTorch, written from the papers and the reference, to measure against."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    def __init__(
        self, inputs: int, planes: int, stride: int, dilation: int, project: bool, stride_on_3x3: bool = False
    ):
        super().__init__()
        first, second = (1, stride) if stride_on_3x3 else (stride, 1)
        self.conv1, self.bn1 = nn.Conv2d(inputs, planes, 1, first, bias=False), nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, second, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, planes * 4, 1, bias=False), nn.BatchNorm2d(planes * 4)
        self.downsample = None
        if project:
            shortcut = nn.Conv2d(inputs, planes * 4, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(planes * 4))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + shortcut, inplace=True)


class ASPP(nn.Module):
    def __init__(self, inputs: int, classes: int, branches: int):
        super().__init__()
        self.conv2d_list = nn.ModuleList(nn.Conv2d(inputs, classes, 3, 1, d, d) for d in (6, 12, 18, 24))
        self.branches = branches

    def forward(self, x):
        return sum(conv(x) for conv in self.conv2d_list[: self.branches])


class DeepLab(nn.Module):
    def __init__(self, classes: int = 19, branches: int = 2, depths=(3, 4, 23, 3)):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for number, (depth, stride, dilation) in enumerate(zip(depths, (1, 2, 1, 1), (1, 1, 2, 4), strict=True), 1):
            planes = 32 * 2**number
            blocks = [
                Bottleneck(inputs if i == 0 else planes * 4, planes, stride if i == 0 else 1, dilation, i == 0)
                for i in range(depth)
            ]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = planes * 4
        self.layer5, self.layer6 = ASPP(1024, classes, branches), ASPP(2048, classes, branches)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.01)
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1, ceil_mode=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.layer5(x), self.layer6(self.layer4(x))


def discriminator(classes: int = 19) -> nn.Sequential:
    channels = [classes, 64, 128, 256, 512, 1]
    layers = []
    for inputs, outputs in itertools.pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers[:-1])


def make_step(generator, d_aux, d_main, size_s, size_t):
    heads = [p for layer in (generator.layer5, generator.layer6) for p in layer.parameters()]
    head_ids = {id(p) for p in heads}
    trunk = [p for p in generator.parameters() if p.requires_grad and id(p) not in head_ids]
    groups = [{"params": trunk}, {"params": heads, "lr": 2.5e-3}]
    optimizer_g = torch.optim.SGD(groups, lr=2.5e-4, momentum=0.9, weight_decay=5e-4)
    optimizers_d = [torch.optim.Adam(d.parameters(), lr=1e-4, betas=(0.9, 0.99)) for d in (d_aux, d_main)]
    pairs = ((d_aux, 0.0002), (d_main, 0.001))

    def upsample(logits, size):
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True)

    def judge(score, target: float):
        return F.binary_cross_entropy_with_logits(score, torch.full_like(score, target))

    def step(image_s, label_s, image_t):
        for optimizer in (optimizer_g, *optimizers_d):
            optimizer.zero_grad()
        for d, _ in pairs:
            d.requires_grad_(False)
        source = [upsample(logits, size_s) for logits in generator(image_s)]
        seg = [F.cross_entropy(logits, label_s, ignore_index=255) for logits in source]
        (seg[1] + 0.1 * seg[0]).backward()
        target = [upsample(logits, size_t) for logits in generator(image_t)]
        adv = [judge(d(F.softmax(logits, 1)), 0.0) for (d, _), logits in zip(pairs, target, strict=True)]
        sum(weight * loss for (_, weight), loss in zip(pairs, adv, strict=True)).backward()
        halves = []
        for d, _ in pairs:
            d.requires_grad_(True)
        for logits, domain in ((source, 0.0), (target, 1.0)):
            for (d, _), values in zip(pairs, logits, strict=True):
                loss = judge(d(F.softmax(values.detach(), 1)), domain) / 2
                loss.backward()
                halves.append(loss.item())
        for optimizer in (optimizer_g, *optimizers_d):
            optimizer.step()
        return [loss.item() for loss in (*seg, *adv)] + [halves[0] + halves[2], halves[1] + halves[3]]

    return step
