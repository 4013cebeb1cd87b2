"""Editors: agents that change a scene, or the slots of a template, one edit at a time.

`SceneEditor` is the environment; it knows neither the built-in world nor a template: two functions say and draw its scenes.
`learn` makes an `Agent` that is told its goal in words and is rewarded by a CLIP that looks at the picture (MineDojo);
`search` is its strong rival without learning. `learn_to_follow` makes a `Follower`, which is told nothing: a demonstration in
front shows the task (Prompt-DT).
"""

from workbench.search.editor.agent import Agent, earned, learn, search
from workbench.search.editor.config import REWARDS, AgentConfig, FollowConfig
from workbench.search.editor.demonstrations import Episode, Follower, demonstrate, learn_to_follow
from workbench.search.editor.scene_editor import SceneEditor, View
from workbench.search.policy import RewardError

__all__ = ["REWARDS", "Agent", "AgentConfig", "Episode", "FollowConfig", "Follower", "RewardError", "SceneEditor", "View"]
__all__ += ["demonstrate", "earned", "learn", "learn_to_follow", "search"]
