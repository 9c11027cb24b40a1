"""Questions about the audit where nobody answers them: in the workers, and where no reader is started."""

from typing_extensions import override

from keystead.core.errors import QueryUnavailable
from keystead.core.ports import Records
from keystead.core.query import Answered, Question


class NoRecords(Records):
    """Answers nothing."""

    @override
    def ask(self, question: Question, seconds: float) -> Answered:
        raise QueryUnavailable(
            "Questions about the audit are answered by the control plane, where a reader runs."
        )
