"""One training on several machines: Ray Train."""

import zoo.tuning  # noqa: F401  sets what Ray reads when it is imported
