"""`python -m cogd.train.cli`, for `torchrun`."""

import sys

from cogd.train.cli import main

sys.exit(main())
