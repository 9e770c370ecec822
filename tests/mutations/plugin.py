"""A plugin of pytest (``-p tests.mutations.plugin``): switches off what GUARD_MUTATION names, before tests are read."""

from __future__ import annotations

import os

from tests.mutations.table import MUTATIONS, mutate

mutate({mutation.name: mutation for mutation in MUTATIONS}[os.environ["GUARD_MUTATION"]])
