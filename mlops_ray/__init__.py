"""One YAML spec per model, one Ray cluster, one closed MLOps loop."""

__version__ = "0.2.0"
__all__ = ["__version__"]
