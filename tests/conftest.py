"""What all tests share: the processor's kernel choice, which must be made before MindSpore is imported."""

from model_utils.device_adapter import prepare_environment

prepare_environment("CPU")
