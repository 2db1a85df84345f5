"""Drawing: scenes by Pillow, curves by matplotlib."""
