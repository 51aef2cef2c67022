"""`python -m dfer_cli`: the `dfer` command."""

from .main import main

raise SystemExit(main())
