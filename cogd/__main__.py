"""`python -m cogd`."""

from cogd.cli import main

raise SystemExit(main())
