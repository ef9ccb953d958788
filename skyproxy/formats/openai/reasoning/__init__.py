"""Takes what a model thought out of what it says: reasoning fields, parts and items, and text between tags such as
`<think>`.

Where the beginning of the thought is in the prompt, as some templates have it, the answer has its end only, `</think>`.
A whole answer is cut there. In a stream that cannot be known before the tag comes, and nothing waits for a tag
that may never come: what came before it has been said, and the tag alone goes. Servers can part such thoughts from the
answer themselves (`--reasoning-format` of llama.cpp, `--reasoning-parser` of vLLM), and then they go as all others.
"""

from skyproxy.formats.openai.reasoning.answers import strip_answer
from skyproxy.formats.openai.reasoning.stream import StreamStripper

__all__ = ["StreamStripper", "strip_answer"]
