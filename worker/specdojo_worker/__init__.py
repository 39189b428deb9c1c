"""The specdojo worker: one process that samples from and trains causal language models behind the training API."""

__version__ = "0.1.0"
