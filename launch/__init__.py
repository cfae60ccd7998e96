"""The launchers: python -m launch.train, … (installed: effjax train, …).

Each may be asked to stop from its first line on.
"""

import sys

if sys.argv[0] == "-m":  # Python imports this package before the launcher in it
    from effjax import signals

    signals.install()
