"""From a finished run to a model repository: the card and the files that go with it."""
