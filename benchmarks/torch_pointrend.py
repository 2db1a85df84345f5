"""PointRend and its step in PyTorch, written from the paper and the reference, to measure this project against."""

import torch
from torch import nn
from torch.nn import functional as F

POINTS, TRAIN_POINTS = 8192, 2048


class FrozenNorm(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("mean", 0.0), ("variance", 1.0)):
            self.register_buffer(name, torch.full((1, channels, 1, 1), value))

    def forward(self, x):
        scale = self.weight * (self.variance + 1e-5).rsqrt()
        return x * scale + (self.bias - self.mean * scale)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), FrozenNorm(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int):
        super().__init__()
        self.shortcut = conv_norm(inputs, planes * 4, 1, stride) if inputs != planes * 4 else nn.Identity()
        self.conv1, self.conv2 = conv_norm(inputs, planes, 1, stride), conv_norm(planes, planes, 3)
        self.conv3 = conv_norm(planes, planes * 4, 1)

    def forward(self, x):
        y = F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)), inplace=True)
        return F.relu(self.conv3(y) + self.shortcut(x), inplace=True)


def group_norm_block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(32, outputs), nn.ReLU(True)]


def larger(x, factor: int = 2):
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class PointRend(nn.Module):
    def __init__(self, classes: int = 19):
        super().__init__()
        self.stem, inputs = conv_norm(3, 64, 7, 2), 64
        self.stages, self.lateral, self.output, self.grow = (nn.ModuleList() for _ in range(4))
        for level, depth in enumerate((3, 4, 23, 3)):
            planes, stride = 64 * 2**level, 1 if level == 0 else 2
            blocks = [
                Bottleneck(inputs if i == 0 else planes * 4, planes, stride if i == 0 else 1) for i in range(depth)
            ]
            self.stages.append(nn.Sequential(*blocks))
            inputs = planes * 4
            self.lateral.append(nn.Conv2d(inputs, 256, 1))
            self.output.append(nn.Conv2d(256, 256, 3, 1, 1))
            steps: list[nn.Module] = []
            for unit in range(max(level, 1)):
                steps += group_norm_block(128 if unit else 256, 128)
                steps += [nn.Upsample(scale_factor=2, mode="bilinear")] if level else []
            self.grow.append(nn.Sequential(*steps))
        self.predictor = nn.Conv2d(128, classes, 1)
        self.points = nn.Sequential(
            *(nn.Sequential(nn.Conv1d(n, 256, 1), nn.ReLU(True)) for n in (256 + classes, 256, 256)),
            nn.Conv1d(256, classes, 1),
        )

    def coarse(self, image):
        x, maps = F.max_pool2d(F.relu(self.stem(image), inplace=True), 3, 2, 1), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        merged = [self.lateral[3](maps[3])]
        for level in (2, 1, 0):
            merged.insert(0, self.lateral[level](maps[level]) + F.interpolate(merged[0], scale_factor=2))
        levels = [conv(x) for conv, x in zip(self.output, merged, strict=True)]
        return self.predictor(sum(grow(x) for grow, x in zip(self.grow, levels, strict=True))), levels[0]

    def at_points(self, coarse, features, points):
        return self.points(torch.cat([sample(features, points), sample(coarse, points)], 1))

    def forward(self, image):
        coarse, features = self.coarse(image)
        logits = coarse
        for _ in range(2):
            logits = larger(logits)
            (n, classes, height, width), flat = logits.shape, logits.flatten(2)
            index = doubt(flat).topk(min(POINTS, height * width), 1)[1]
            points = torch.stack([(index % width + 0.5) / width, (index // width + 0.5) / height], 2)
            where = index[:, None].expand(-1, classes, -1)
            logits = flat.scatter(2, where, self.at_points(coarse, features, points)).view(n, classes, height, width)
        return logits


def sample(features, points, mode: str = "bilinear"):
    return F.grid_sample(features, 2 * points[:, :, None] - 1, mode=mode, align_corners=False)[..., 0]


def doubt(logits):
    first, second = logits.topk(2, 1)[0].unbind(1)
    return second - first


def make_step(network: nn.Module):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step(image, label):
        optimizer.zero_grad()
        coarse, features = network.coarse(image)
        with torch.no_grad():
            candidates = torch.rand(len(image), 3 * TRAIN_POINTS, 2)
            index = doubt(sample(coarse, candidates)).topk(3 * TRAIN_POINTS // 4, 1)[1]
            chosen = candidates.gather(1, index[:, :, None].expand(-1, -1, 2))
            points = torch.cat([chosen, torch.rand(len(image), TRAIN_POINTS // 4, 2)], 1)
            point_label = sample(label[:, None].float(), points, "nearest")[:, 0].long()
        losses = [
            F.cross_entropy(larger(coarse, 4), label, ignore_index=255),
            F.cross_entropy(network.at_points(coarse, features, points), point_label, ignore_index=255),
        ]
        sum(losses).backward()
        optimizer.step()
        return [loss.item() for loss in losses]

    return step
