"""Many characters on one store: each is an agent with memories that have a type and metadata; and scenes, in which they
talk with each other.
"""

from memagent.characters.character import Character
from memagent.characters.checking import (
    Checked,
    MemoryConfig,
    check_memory_config,
    check_memory_content,
    check_prompt_template,
)
from memagent.characters.memories import Memory
from memagent.characters.scene import Moment, Passed, Scene
from memagent.characters.scenes import Line
from memagent.characters.system import CharacterSystem

__all__ = [
    "Character", "CharacterSystem", "Checked", "Line", "Memory", "MemoryConfig", "Moment", "Passed", "Scene",
    "check_memory_config", "check_memory_content", "check_prompt_template",
]  # fmt: skip
