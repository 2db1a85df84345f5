"""Operators for CPUs, compiled at their first use: convolutions, and batch norm with what follows it.

The convolutions call MindSpore's own oneDNN with the layouts that library likes. MindSpore asks for plain layouts of
the weights, for which it has slow kernels (with AVX-512: its reference kernel).
The environment variable ``CPU_OPERATORS`` says ``auto`` (the default: wherever they can be compiled and pass a test) or
``off``.
"""

from src.backend.cpu_ops.build import chosen, library
from src.backend.cpu_ops.convolution import CustomConvolution, custom_convolution
from src.backend.cpu_ops.norm import custom_norm
from src.backend.cpu_ops.self_test import has_operators, say

__all__ = ["CustomConvolution", "chosen", "custom_convolution", "custom_norm", "has_operators", "library", "say"]
