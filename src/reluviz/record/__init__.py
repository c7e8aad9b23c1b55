"""Event files: the one place that knows how a quantity becomes a TensorBoard summary and how it is read back."""
