"""What ``python -m tools.device_check`` computes on any device and compares with numbers of a CPU."""
