"""One YAML file, strictly read.

document      YAML with its lines, within bounds
schema        the shape: frozen pydantic models; values, units, limits and address are what its leaves are made of
editors       the shape as JSON Schema
explain       pydantic's errors in our own words
salvage       what of a bad file can still be looked at
check         rules between keys; listening and routing are its parts
load          all of it: a config, or every mistake with its line
"""

from proxy.config.mistake import Mistake

__all__ = ["Mistake"]
