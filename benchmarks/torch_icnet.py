"""ICNet and its step in PyTorch, written from the paper and the reference, to measure this project against."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_advnet import Bottleneck


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False), nn.BatchNorm2d(outputs)]


def upsample(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        first, second = conv_norm(3, 64, 3, 2), conv_norm(64, 64, 3)
        self.conv1 = nn.Sequential(
            *first, nn.ReLU(True), *second, nn.ReLU(True), nn.Conv2d(64, 128, 3, 1, 1, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(128)
        inputs = 128
        plan = zip((3, 4, 6, 3), (1, 2, 1, 1), (1, 1, 1, 2), (1, 1, 2, 4), strict=True)
        for number, (depth, stride, first_dilation, dilation) in enumerate(plan, 1):
            planes = 32 * 2**number
            blocks = [Bottleneck(inputs, planes, stride, first_dilation, True, True)]
            blocks += [Bottleneck(planes * 4, planes, 1, dilation, False) for _ in range(depth - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = planes * 4

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        layer2 = self.layer2(self.layer1(x))
        return layer2, self.layer4(self.layer3(layer2))  # both, always, as the original does


class Fusion(nn.Module):
    def __init__(self, low: int, high: int, classes: int):
        super().__init__()
        self.conv_low = nn.Sequential(*conv_norm(low, 128, 3, 1, 2))
        self.conv_high = nn.Sequential(*conv_norm(high, 128, 1))
        self.conv_low_cls = nn.Conv2d(128, classes, 1, bias=False)

    def forward(self, low, high):
        low = self.conv_low(upsample(low, high.shape[-2:]))
        return F.relu(low + self.conv_high(high)), self.conv_low_cls(low)


class ICNet(nn.Module):
    def __init__(self, classes: int = 19):
        super().__init__()
        channels = ((3, 32), (32, 32), (32, 64))
        self.conv_sub1 = nn.Sequential(*(nn.Sequential(*conv_norm(i, o, 3, 2), nn.ReLU(True)) for i, o in channels))
        self.pretrained = Trunk()
        self.cff_24, self.cff_12 = Fusion(2048, 512, classes), Fusion(128, 64, classes)
        self.conv_cls = nn.Conv2d(128, classes, 1, bias=False)

    def forward(self, x):
        height, width = x.shape[-2:]
        sub1 = self.conv_sub1(x)
        sub2 = self.pretrained(upsample(x, (height // 2, width // 2)))[0]
        sub4 = self.pretrained(upsample(x, (height // 4, width // 4)))[1]
        pooled = [upsample(F.adaptive_avg_pool2d(sub4, bins), sub4.shape[-2:]) for bins in (1, 2, 3, 6)]
        fused, logits16 = self.cff_24(sub4 + sum(pooled), sub2)
        fused, logits8 = self.cff_12(fused, sub1)
        logits4 = self.conv_cls(upsample(fused, tuple(2 * n for n in fused.shape[-2:])))
        return upsample(logits4, tuple(4 * n for n in logits4.shape[-2:])), logits4, logits8, logits16


def make_step(network: nn.Module):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step(image, label):
        optimizer.zero_grad()
        outputs = network(image)[1:]
        labels = [F.interpolate(label[:, None].float(), size=x.shape[-2:])[:, 0].long() for x in outputs]
        losses = [F.cross_entropy(x, y, ignore_index=255) for x, y in zip(outputs, labels, strict=True)]
        (losses[0] + 0.4 * losses[1] + 0.4 * losses[2]).backward()
        optimizer.step()
        return [loss.item() for loss in losses]

    return step
