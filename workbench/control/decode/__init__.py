"""Decode."""
from workbench.control.decode.critic import Critic, CriticConfig, returns

__all__ = ["Critic", "CriticConfig", "returns"]
