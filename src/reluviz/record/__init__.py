"""Event files: how a quantity becomes a TensorBoard summary, and how it is read back."""
