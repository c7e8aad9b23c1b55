"""reluviz: watch how gradient descent learns."""
