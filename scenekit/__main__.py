"""``python -m scenekit``."""

import sys

from scenekit.cli import main

sys.exit(main())
