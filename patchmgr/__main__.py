"""``python -m patchmgr``."""

import sys

from patchmgr.cli.main import main

sys.argv[0] = "patchmgr"  # as its help and the audit trail call it
main()
