"""`python -m architectures`: lists the registered architectures."""

from __future__ import annotations

from architectures import ARCHITECTURES, names

if __name__ == "__main__":
    width = max(map(len, names()))
    for name in names():
        print(f"{name:<{width}}  {ARCHITECTURES[name].summary}")
