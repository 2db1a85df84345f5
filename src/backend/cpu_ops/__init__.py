"""Convolutions that call MindSpore's own oneDNN with the layouts that library likes: compiled at their first use.

MindSpore asks for plain layouts of the weights, for which oneDNN has slow kernels (with AVX-512: its reference kernel).
The environment variable ``CPU_OPERATORS`` says ``auto`` (the default: wherever they can be compiled and pass a test) or
``off``.
"""

from src.backend.cpu_ops.build import chosen, library
from src.backend.cpu_ops.convolution import CustomConvolution, has_operators, say

__all__ = ["CustomConvolution", "chosen", "has_operators", "library", "say"]
