"""One YAML file, strictly read: schema (pydantic, frozen) · limits · load · check."""

from proxy.config.mistake import Mistake

__all__ = ["Mistake"]
