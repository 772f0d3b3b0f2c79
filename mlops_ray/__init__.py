"""One YAML spec per model, one Ray cluster, one closed MLOps loop."""

__version__ = "0.1.0"
__all__ = ["__version__"]
