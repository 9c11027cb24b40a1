"""One suite of tests per port. An adapter's test class inherits it and says how to make the adapter.

    class TestTpm(CustodyContract):
        @pytest.fixture
        def connect(self) -> Callable[[], Custodian]:
            ...

A promise in a port's docstring has a test here; an adapter may leave out a power that the port calls
optional, never a promise. Needs pytest, which only the extra ``dev`` brings.
"""

import pkgutil

import pytest

# So that a failing assertion in a suite shows its values, as in a test file.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
