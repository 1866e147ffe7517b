"""`python -m zoo`: the same as the `zoo` command."""

import sys

from zoo.commands import main

sys.exit(main())
