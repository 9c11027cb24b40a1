"""Draw docs/reference/key-states.md from the table in `keystead.core.key`, and print it.

`make pages` writes it; a test compares the page with the table.
"""

from keystead.core.errors import KeysteadError
from keystead.core.key import Event, Key, State

HEAD = """\
# Key states

<!-- Drawn by tools/key_states.py from keystead.core.key: change the table there, then run `make pages`. -->

Whatever is asked of a key is one of the events on the left. The table shows the state that follows, or the
[error](errors.md) when the key's state does not allow it. What is not in the table is refused.

"""

TAIL = """
A key that is scheduled for deletion can no longer be used. Within its window the deletion can be
cancelled, which leaves the key disabled. When the window ends, a job destroys it: its material is erased
and a tombstone stays, so that its id is never used again. Nothing leads back from there.
"""


def cell(state: State, event: Event) -> str:
    """What happens to a key in that state: the state that follows, or the error."""
    key = Key(id="", account="", region="", spec="", usage="", state=state, created=0.0, policy="")
    try:
        return str(key.after(event).state)
    except KeysteadError as error:
        return f"[`{error.code}`](errors.md#{error.code.lower()})"


def page() -> str:
    """The whole page."""
    rows = [["Event", *(str(state) for state in State)], ["---"] * (len(State) + 1)]
    rows += [[str(event), *(cell(state, event) for state in State)] for event in Event]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + TAIL


if __name__ == "__main__":
    print(page(), end="")
