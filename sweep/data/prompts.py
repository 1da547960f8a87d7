"""The text that a policy reads before it solves a problem: a template, worked examples in front of it, or a chat."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.data.records import END_OF_TURN

QUESTION = "{question}"


@dataclass(frozen=True)
class Prompt:
    """What stands around a question.

    Args:
        template: with QUESTION where the question stands.
        instruction: stands in front of all.
        examples: question and solution of each worked example, shown in the template.
        example_end: stands behind each example.
        is_chat: all of it is the user's turn in the model's own chat template, and the solution the assistant's.
    """

    template: str
    instruction: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    example_end: str = ""
    is_chat: bool = False

    def rendered(self, question: str) -> str:
        shown = [self._asked(asked) + solution + self.example_end for asked, solution in self.examples]
        return "".join([self.instruction, *shown, self._asked(question), END_OF_TURN if self.is_chat else ""])

    def _asked(self, question: str) -> str:
        return question.join(self.template.split(QUESTION))
