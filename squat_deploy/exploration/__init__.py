"""What a folding costs and how fast it is, without building it: the search for the one that is wanted."""

from squat_deploy.exploration.search import Choice, Exploration, Wanted, explore

__all__ = ["Choice", "Exploration", "Wanted", "explore"]
