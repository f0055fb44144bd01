"""``python -m organza``: the command line."""

import sys

from organza.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
